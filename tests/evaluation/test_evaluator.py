"""Evaluation from records to metrics, over one and several ranks."""

import contextlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.data.records.convert import convert
from awsdet.evaluation import check_classes, draw_examples, evaluate, format_table
from awsdet.evaluation.coco_metric import coco_metrics
from awsdet.evaluation.detections import Detections, pack, unpack
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from tests.evaluation.truth_detector import TruthDetector, shape_records, small_reader_options
from tests.runtime.thread_world import ThreadWorld


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def manifest(folder):
    return shape_records(folder)


@pytest.fixture(scope="module")
def truth(manifest):
    return TruthDetector(manifest, small_reader_options())


@pytest.fixture(scope="module")
def spoiled(manifest):
    """Finds the objects, but slightly misplaced."""
    rng = np.random.default_rng(2)

    def changed(image_id, boxes, scores):
        return boxes + rng.normal(0, 6, boxes.shape).astype(np.float32), rng.permutation(scores)

    return TruthDetector(manifest, small_reader_options(), changed)


def test_the_data_holds_the_hard_cases(manifest):
    assert (manifest.num_objects == 0).any(), "no image without objects"
    assert len({h > w for h, w in zip(manifest.height, manifest.width)}) == 2


def test_truth_fed_back_is_perfect(truth, manifest, folder):
    metrics = evaluate(truth, manifest, small_reader_options(), World(), output=folder / "new/results.json")
    assert metrics["box_ap"] == pytest.approx(1, abs=1e-6)
    assert metrics["mask_ap50"] == pytest.approx(1, abs=1e-6) and metrics["mask_ap"] > 0.95
    assert [row["box_ap"] for row in metrics["per_class"].values()] == pytest.approx([1] * 4)
    assert "1.000" in format_table(metrics)
    results = json.loads((folder / "new/results.json").read_text())
    assert {r["category_id"] for r in results} == {2, 3, 7, 11}
    assert not [path for path in (folder / "new").iterdir() if path.name != "results.json"]


def test_results_file_and_source_annotations_give_the_same_numbers(spoiled, manifest, folder):
    """The ground truth of the records is that of the annotation file, and boxes are in original pixels."""
    file = folder / "results.json"
    metrics = evaluate(spoiled, manifest, small_reader_options(), World(), output=file)
    assert 0.05 < metrics["box_ap"] < 0.95
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "shapes/annotations/instances_val.json"))
        plain = COCOeval(coco, coco.loadRes(str(file)), "bbox")
        plain.evaluate()
        plain.accumulate()
        plain.summarize()
    assert metrics["box_ap"] == pytest.approx(plain.stats[0], abs=1e-9)
    assert metrics["box_ar_medium"] == pytest.approx(plain.stats[10], abs=1e-9)


@pytest.mark.parametrize("size", [2, 7])
def test_any_number_of_ranks_gives_the_same_numbers(size, spoiled, manifest, folder):
    """With seven ranks there are fewer batches than ranks, so some ranks have none."""
    one, many = folder / "one.json", folder / "many.json"
    alone = evaluate(spoiled, manifest, small_reader_options(), World(), output=one)
    together = ThreadWorld.run(
        size, lambda world: evaluate(spoiled, manifest, small_reader_options(), world, output=many)
    )
    assert together == [alone] * size
    assert many.read_bytes() == one.read_bytes()


def test_no_detections(manifest):
    nothing = TruthDetector(manifest, small_reader_options(), lambda _, boxes, scores: (boxes, scores))
    found = nothing.detect

    def detect(batch):
        outputs = found(batch)
        return {**outputs, "count": tf.zeros_like(outputs["count"])}

    nothing.detect = detect
    metrics = evaluate(nothing, manifest, small_reader_options(), World())
    assert metrics["box_ap"] == metrics["mask_ap"] == 0


def test_other_classes_are_refused(truth, manifest):
    for names, wanted in [
        (("circle", "square", "triangle", "star"), "class 1 is 'rectangle' against 'square'"),
        (("circle",), "4 classes against 1"),
    ]:
        with pytest.raises(UserError, match=wanted):
            evaluate(truth, manifest._replace(class_names=names), small_reader_options(), World())


def test_an_image_id_that_comes_twice_is_an_error(truth, manifest):
    ids = manifest.image_id.copy()
    ids[1] = ids[0]
    with pytest.raises(RuntimeError, match="1 more than once"):
        evaluate(truth, manifest._replace(image_id=ids), small_reader_options(), World())


def test_a_rank_that_leaves_images_out_is_an_error(truth, manifest):
    class Forgetful(World):
        def gather_objects(self, item):
            return [pack(list(unpack(item))[:-2]) if isinstance(item, Detections) else item]

    with pytest.raises(RuntimeError, match="2 images missing"):
        evaluate(truth, manifest, small_reader_options(), Forgetful())


def test_a_failure_of_one_rank_reaches_all(truth, manifest):
    class Broken(TruthDetector):
        def detect(self, batch):
            raise ValueError("no memory left")

    broken = Broken(manifest, small_reader_options())

    def work(world):
        return evaluate(broken if world.rank == 1 else truth, manifest, small_reader_options(), world)

    first, second = ThreadWorld.run(2, work)
    assert isinstance(second, ValueError)
    assert isinstance(first, RuntimeError) and "rank 1 failed: ValueError: no memory left" in str(first)


def test_a_broken_shard_is_the_users_to_mend(truth, folder):
    other = folder / "broken"
    manifest = shape_records(other)
    shard = manifest.directory / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    first = int(manifest.offset[0]) + 12
    data[first : first + int(manifest.length[0])] = bytes(int(manifest.length[0]))
    shard.write_bytes(data)
    words = rf"record 0 of {shard} cannot be read \(image id {manifest.image_id[0]}\): .*checksum; .*awsdet inspect"
    with pytest.raises(UserError, match=words):
        evaluate(truth, manifest, small_reader_options(), World())


def test_pictures(truth, manifest, folder):
    path = folder / "pictures/examples.png"
    draw_examples(truth, manifest, small_reader_options(), path, count=5)
    with Image.open(path) as sheet:
        assert sheet.size[0] == 2 * 480 + 24
        pixels = np.asarray(sheet.convert("RGB"))
    left, right = pixels[30:, 8:488], pixels[30:, 496:976]
    # The same masks and boxes on both sides; labels differ by the score.
    assert (np.abs(left.astype(int) - right).max(-1) < 60).mean() > 0.95
    assert [p.name for p in path.parent.iterdir()] == ["examples.png"]


def test_results_have_the_ids_of_the_annotation_file(manifest, folder, tmp_path):
    """Text and huge integers too, so that they can be scored against that file."""
    content = json.loads((folder / "shapes/annotations/instances_val.json").read_text())
    images = {image["id"]: f"{i}_frame" if i % 2 else 2**64 + i for i, image in enumerate(content["images"])}
    categories = {2: "circle", 3: 2**65, 7: 7, 11: "11"}
    for entry in (*content["images"], *content["categories"]):
        entry["id"] = (images if "file_name" in entry else categories)[entry["id"]]
    for entry in content["annotations"]:
        entry.update(image_id=images[entry["image_id"]], category_id=categories[entry["category_id"]])
    (tmp_path / "a.json").write_text(json.dumps(content))
    own = convert(tmp_path / "a.json", folder / "shapes/images/val", tmp_path / "records", "val", workers=1)
    detector = TruthDetector(own, small_reader_options())
    file = tmp_path / "results.json"
    metrics = evaluate(detector, own, small_reader_options(), World(), output=file)
    assert metrics["box_ap"] == pytest.approx(1, abs=1e-6)
    results = json.loads(file.read_text())
    found = {(r["image_id"], r["category_id"]) for r in results}
    assert found == {(a["image_id"], a["category_id"]) for a in content["annotations"] if not a["iscrowd"]}
    assert len({type(one) for one, _ in found}) == 2 and len({c for _, c in found}) == 4
    assert coco_metrics(content, results, with_masks=True)["box_ap"] == metrics["box_ap"]  # the user's own file


def test_equal_names_are_told_apart_by_ids(manifest):
    twice = manifest._replace(class_names=("cat", "cat"), category_ids=(1, 2))
    check_classes(("cat", "cat"), twice, (1, 2))
    check_classes(("cat", "cat"), twice)  # a detector in memory has no ids
    with pytest.raises(UserError, match="class 1 is 5 against 2"):
        check_classes(("cat", "cat"), twice, (1, 5))
    check_classes(("cat", "dog"), twice._replace(class_names=("cat", "dog")), (8, 9))  # names suffice
