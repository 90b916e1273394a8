import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_examples, read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError


def coco_api(content):
    api = COCO()
    api.dataset = copy.deepcopy(content)
    with contextlib.redirect_stdout(io.StringIO()):
        api.createIndex()
    return api


def detections(content):
    """Boxes and masks near the true ones, with scores: some good, some shifted, some of another class."""
    rng = np.random.default_rng(0)
    ids = [category["id"] for category in content["categories"]]
    found, api = [], coco_api(content)
    for annotation in content["annotations"]:
        x, y, w, h = annotation["bbox"]
        bbox = [x + rng.normal(0, 0.1) * w, y + rng.normal(0, 0.1) * h, w * rng.uniform(0.7, 1.3), h]
        category = annotation["category_id"] if rng.random() < 0.8 else int(rng.choice(ids))
        rle = api.annToRLE(annotation)
        found.append(
            {
                "image_id": annotation["image_id"],
                "category_id": category,
                "bbox": bbox,
                "segmentation": rle,
                "score": float(rng.random()),
            }
        )
    return found


def evaluate(truth, results, kind):
    api = coco_api(truth)
    results = copy.deepcopy(results)
    if kind == "segm":
        for result in results:
            del result["bbox"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(api, api.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_cocoeval_gives_the_same_on_records_as_on_the_annotation_file(kind, coco_tiny, coco_records):
    source = json.loads((coco_tiny / "annotations" / "instances_val2017.json").read_text())
    truth = read_ground_truth(read_manifest(coco_records, "val"))
    results = detections(source)
    expected, found = evaluate(source, results, kind), evaluate(truth, results, kind)
    assert 0.05 < expected.stats[0] < 0.95
    np.testing.assert_array_equal(found.stats, expected.stats)
    for key in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(found.eval[key], expected.eval[key])


@pytest.mark.parametrize("split", ["train", "val"])
def test_ground_truth_is_the_annotation_file_number_for_number(split, coco_tiny, coco_records):
    source = json.loads((coco_tiny / "annotations" / f"instances_{split}2017.json").read_text())
    truth = read_ground_truth(read_manifest(coco_records, split))
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")
    order = {image["id"]: place for place, image in enumerate(source["images"])}
    expected = sorted(source["annotations"], key=lambda a: order[a["image_id"]])
    assert [[a[key] for key in keys] for a in truth["annotations"]] == [[a[key] for key in keys] for a in expected]
    names = ("id", "file_name", "height", "width")
    assert truth["images"] == [{key: image[key] for key in names} for image in source["images"]]
    assert truth["categories"] == [{key: c[key] for key in ("id", "name")} for c in source["categories"]]


def test_ground_truth_of_the_shapes_is_their_annotation_file(shapes_set, shapes_records):
    source = json.loads((shapes_set / "annotations" / "instances_train.json").read_text())
    truth = read_ground_truth(read_manifest(shapes_records, "train"))
    assert truth["annotations"] == [{key: a[key] for key in truth["annotations"][0]} for a in source["annotations"]]
    assert sum(isinstance(a["segmentation"], dict) and not a["iscrowd"] for a in truth["annotations"]) > 5


def test_objects_without_masks_evaluate_as_never_found(shapes_set, tmp_path):
    source = json.loads((shapes_set / "annotations" / "instances_val.json").read_text())
    results = detections(source)
    for annotation in source["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(source))
    manifest = convert(tmp_path / "boxes.json", shapes_set / "images" / "val", tmp_path / "records", "val", workers=1)
    assert not manifest.has_masks
    truth = read_ground_truth(manifest)
    expected = evaluate(source, results, "bbox")
    np.testing.assert_array_equal(evaluate(truth, results, "bbox").stats, expected.stats)
    assert evaluate(truth, results, "segm").stats[0] == 0


def test_a_manifest_reads_back_as_it_was_written(shapes_set, shapes_records, tmp_path):
    annotations = shapes_set / "annotations" / "instances_val.json"
    written = convert(annotations, shapes_set / "images" / "val", tmp_path, "val", shards=2, workers=1)
    read = read_manifest(tmp_path, "val")
    for name, value in written._asdict().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(read, name), value)
            assert getattr(read, name).dtype == value.dtype
        elif name != "anomalies":
            assert getattr(read, name) == value
    assert read.anomalies.to_json() == written.anomalies.to_json()
    assert read.shards == read_manifest(shapes_records, "val").shards  # the same bytes from the same inputs


@pytest.fixture
def records(shapes_set, tmp_path):
    annotations = shapes_set / "annotations" / "instances_val.json"
    convert(annotations, shapes_set / "images" / "val", tmp_path / "records", "val", shards=2, workers=1)
    return tmp_path / "records"


def test_a_missing_folder_or_split_is_named(records):
    for folder in ("", records / "nowhere"):
        with pytest.raises(UserError, match="does not exist; awsdet convert makes one"):
            read_manifest(folder, "train")
    with pytest.raises(UserError, match="has no split train; it has val$"):
        read_manifest(records, "train")


def test_a_missing_or_shortened_shard_is_named(records):
    shard = records / "val-00001-of-00002.tfrecord"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1])
    with pytest.raises(UserError, match=rf"{shard.name} is broken: {len(data) - 1} bytes, not {len(data)}"):
        read_manifest(records, "val")
    shard.unlink()
    with pytest.raises(UserError, match=rf"{shard.name} is missing"):
        read_manifest(records, "val")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "awsdet records 1"}', "not json"])
def test_a_damaged_manifest_is_one_clear_error(records, text):
    (records / "val.manifest.json").write_text(text)
    with pytest.raises(UserError, match="run awsdet convert again"):
        read_manifest(records, "val")


def test_a_lost_manifest_is_one_clear_error(records):
    (records / "val.manifest.json").unlink()
    with pytest.raises(UserError, match="lacks the manifest of its split val"):
        read_manifest(records, "val")


def test_a_record_that_is_no_example_is_named(records):
    manifest = read_manifest(records, "val")
    shard = records / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    data[12:40] = b"\xff" * 28
    shard.write_bytes(bytes(data))
    with pytest.raises(UserError, match=rf"shard .*{shard.name} is broken"):
        list(read_examples(manifest))
