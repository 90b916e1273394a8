"""Shards as the TensorFlow Object Detection API's COCO script writes them, made here from the built-in shapes."""

import io
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools.coco import COCO

from awsdet import config
from awsdet.cli.main import main
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset, train_dataset
from awsdet.data.records.inspection import inspect
from awsdet.data.records.read import read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError
from tests.mutilated import made_images


def png(mask):
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    return out.getvalue()


def feature(values):
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(api, image, data, masks=True, labels=True, source_id=True):
    """The record of one image, with the keys and units of that script."""
    height, width = image["height"], image["width"]
    annotations = api.imgToAnns[image["id"]]
    boxes = [a["bbox"] for a in annotations]
    features = {
        "image/height": [height],
        "image/width": [width],
        "image/filename": [image["file_name"].encode()],
        "image/source_id": [str(image["id"]).encode() if source_id else image["file_name"].encode()],
        "image/encoded": [data],
        "image/format": [b"jpeg"],
        "image/object/bbox/xmin": [float(x / width) for x, y, w, h in boxes],
        "image/object/bbox/xmax": [float((x + w) / width) for x, y, w, h in boxes],
        "image/object/bbox/ymin": [float(y / height) for x, y, w, h in boxes],
        "image/object/bbox/ymax": [float((y + h) / height) for x, y, w, h in boxes],
        "image/object/class/text": [api.cats[a["category_id"]]["name"].encode() for a in annotations],
        "image/object/is_crowd": [a["iscrowd"] for a in annotations],
        "image/object/area": [float(a["area"]) for a in annotations],
    }
    if labels:
        features["image/object/class/label"] = [a["category_id"] for a in annotations]
    if masks:
        features["image/object/mask"] = [png(api.annToMask(a)) for a in annotations]
    filled = {key: feature(values) for key, values in features.items() if values}
    return tf.train.Example(features=tf.train.Features(feature=filled))


def write_shards(
    folder, shapes_set, splits=("train", "val"), count=3, name="coco_{}.record-{:05d}-of-{:05d}", **options
):
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        api = COCO(str(shapes_set / "annotations" / f"instances_{split}.json"))
        paths = [folder / name.format(split, number, count) for number in range(count)]
        writers = [tf.io.TFRecordWriter(str(path)) for path in paths]
        for number, image in enumerate(api.imgs.values()):
            data = (shapes_set / "images" / split / image["file_name"]).read_bytes()
            writers[number % count].write(example(api, image, data, **options).SerializeToString())
        for writer in writers:
            writer.close()
    return folder


@pytest.fixture(scope="module")
def api_records(shapes_set, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("api"), shapes_set)


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update({"short_sides": (96,), "eval_short_side": 96, "max_long_side": 160, "batch_size": 4, **changes})
    return reader_options(settings)


def rows_by_image(dataset):
    found = {}
    for batch in dataset:
        for row, image_id in enumerate(batch["image_id"].numpy()):
            real = batch["classes"][row].numpy() >= 0
            rows = [
                (int(c), bool(crowd), box, runs)
                for c, crowd, box, runs in zip(
                    batch["classes"][row].numpy()[real],
                    batch["is_crowd"][row].numpy()[real],
                    batch["boxes"][row].numpy()[real],
                    batch["masks"]["rles"][row].to_list(),
                )
            ]
            # Crowds come last in our records, and at their original places in the others.
            found[int(image_id)] = (batch["image"][row].numpy(), sorted(rows, key=lambda r: (r[1], *r[2])))
    return found


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_batches_are_those_of_our_own_records(api_records, shapes_records, flip):
    settings = {"seed": 1, "rank": 0, "world_size": 1, "epochs": 1}
    found, expected = (
        rows_by_image(train_dataset(m, options(flip_probability=flip, batch_size=1), **settings).dataset)
        for m in (read_manifest(api_records, "train"), read_manifest(shapes_records, "train"))
    )
    assert set(found) == set(expected)
    masks = 0
    for image_id, (image, rows) in found.items():
        own_image, own_rows = expected[image_id]
        np.testing.assert_array_equal(image, own_image)
        assert [row[:2] for row in rows] == [row[:2] for row in own_rows]
        for (_, is_crowd, box, runs), (_, _, own_box, own_runs) in zip(rows, own_rows):
            np.testing.assert_allclose(box, own_box, atol=1e-3)
            assert bool(runs) != is_crowd
            if own_runs:  # polygons are kept as such in our records
                assert runs == own_runs
                masks += 1
    assert masks > 5


def test_objects_of_these_records_can_be_pasted(api_records):
    """Images that get none, some of which read the record that stands for no partner, are as without copy-paste."""
    manifest, ranks = read_manifest(api_records, "train"), {"seed": 1, "rank": 0, "world_size": 1, "epochs": 1}
    jitter = {"canvas": 96, "jitter_scales": (0.6, 1.5)}
    pasted = alone = 0
    for before, after in zip(
        *(train_dataset(manifest, options(copy_paste=share, **jitter), **ranks).dataset.take(4) for share in (0.0, 0.5))
    ):
        for row in range(4):
            counts = [int((batch["classes"][row].numpy() >= 0).sum()) for batch in (before, after)]
            same = np.array_equal(before["image"][row], after["image"][row])
            assert after["masks"]["rles"][row].nrows() == counts[1]
            if same:
                assert before["masks"]["rles"][row].to_list() == after["masks"]["rles"][row].to_list()
            pasted, alone = pasted + (not same and counts[1] > 0), alone + same
    assert pasted >= 3 and alone >= 5


def test_ground_truth_is_the_sources_as_far_as_float32_goes(api_records, shapes_set):
    manifest = read_manifest(api_records, "val")
    truth = read_ground_truth(manifest)
    source = COCO(str(shapes_set / "annotations" / "instances_val.json"))
    built = COCO()
    built.dataset = truth
    built.createIndex()
    assert set(built.imgs) == set(source.imgs)
    for image_id in source.imgs:
        assert len(built.imgToAnns[image_id]) == len(source.imgToAnns[image_id])
        for annotation, expected in zip(built.imgToAnns[image_id], source.imgToAnns[image_id]):
            np.testing.assert_allclose(annotation["bbox"], expected["bbox"], atol=1e-4)
            assert annotation["category_id"] == expected["category_id"]
            assert annotation["iscrowd"] == expected["iscrowd"]
            assert annotation["area"] == pytest.approx(expected["area"])
            np.testing.assert_array_equal(built.annToMask(annotation), source.annToMask(expected))
    ids = [a["id"] for a in truth["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


def test_shards_are_indexed_once_and_the_manifest_kept(api_records):
    manifest = read_manifest(api_records, "train")
    assert sorted(path.name for path in api_records.glob("*.json")) == ["train.manifest.json", "val.manifest.json"]
    before = (api_records / "train.manifest.json").stat().st_mtime_ns
    again = read_manifest(api_records, "train")
    assert (api_records / "train.manifest.json").stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.offset, manifest.offset)
    assert again.class_names == ("circle", "rectangle", "triangle", "star") and again.category_ids == (2, 3, 7, 11)
    assert manifest.has_masks and manifest.num_images == 41
    (inspection,) = inspect(api_records, "train")
    assert not inspection.faults and (inspection.contents.mask == "PNG").all()


def test_old_shards_with_names_alone_and_boxes_alone_are_read(shapes_set, tmp_path):
    """Old versions of the script wrote only class names; masks are optional; ids may be names."""
    folder = write_shards(
        tmp_path, shapes_set, labels=False, masks=False, source_id=False, name="{}-{:05d}-of-{:05d}.tfrecord"
    )
    manifest = read_manifest(folder, "val")
    assert manifest.class_names == ("circle", "rectangle", "star", "triangle")
    assert manifest.category_ids == (1, 2, 3, 4) and not manifest.has_masks
    assert manifest.image_id.tolist() == list(range(1, 14))
    batches = list(eval_dataset(manifest, options(eval_batch_size=4), rank=0, world_size=1))
    assert all(not batch["masks"]["rles"].flat_values.shape[0] for batch in batches)
    counts = np.bincount(np.concatenate([b["classes"].numpy()[b["classes"].numpy() >= 0] for b in batches]))
    source = json.loads((shapes_set / "annotations" / "instances_val.json").read_text())["annotations"]
    expected = [sum(a["category_id"] == i for a in source) for i in (2, 3, 11, 7)]
    assert counts.tolist() == expected
    truth = read_ground_truth(manifest)
    assert [a["segmentation"]["counts"] for a in truth["annotations"][:1]] == [[96 * 72]]


def test_a_manifest_that_cannot_be_written_is_done_without(api_records, tmp_path):
    folder = shutil.copytree(api_records, tmp_path / "records", ignore=shutil.ignore_patterns("*.json"))
    for split in ("train", "val"):
        (folder / f"{split}.manifest.json").mkdir()  # stops even root
    assert read_manifest(folder, "train").num_images == 41
    assert all(path.is_dir() for path in folder.glob("*.json")) and not list(folder.glob(".aside*"))


def test_inspection_decodes_the_images_of_others(shapes_set, tmp_path):
    folder = write_shards(tmp_path, shapes_set, splits=("val",), count=1)
    picture = (shapes_set / "images" / "val" / "000001000002.jpg").read_bytes()
    shard = folder / "coco_val.record-00000-of-00001"
    payloads = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for payload in payloads:
            writer.write(payload.replace(picture, picture[:-300] + bytes(300)))
    (fault,) = inspect(folder, "val")[0].faults
    words = "the image with id 1000002 (000001000002.jpg): truncated or damaged JPEG data"
    assert f"{shard.name} is not fully readable: {words}" in fault


def test_formats_that_the_reader_does_not_decode_are_refused_at_the_index(shapes_set, tmp_path):
    folder = write_shards(tmp_path, shapes_set, splits=("val",), count=1)
    shard = folder / "coco_val.record-00000-of-00001"
    picture = made_images.saved(made_images.picture(), "BMP")
    with tf.io.TFRecordWriter(str(shard)) as writer:
        image = {"id": 1, "height": 24, "width": 40, "file_name": "a.bmp"}
        writer.write(example(COCO(), image, picture).SerializeToString())
    with pytest.raises(UserError, match=r"record 0 \(a\.bmp\) is of the format BMP.*JPEG and PNG only"):
        read_manifest(folder, "val")


def test_pages_show_the_records_of_others_with_their_masks(api_records, shapes_records, tmp_path, capsys):
    (found,), (own,) = inspect(api_records, "train", look=True), inspect(shapes_records, "train", look=True)
    assert sorted(found.images.digest) == sorted(own.images.digest) and found.images.grey.shape == (41, 9, 9)
    assert (found.contents.mask == "PNG").all() and len(found.contents.id) == len(own.contents.id)
    boxes = (np.sort(one.contents.box, axis=0) for one in (found, own))
    np.testing.assert_allclose(*boxes, atol=0.01)
    assert found.contents.mask_area.sum() == pytest.approx(own.contents.mask_area.sum(), rel=0.02)
    assert np.isnan(inspect(api_records, "train")[0].contents.mask_area).all()
    assert main(["inspect", f"--records={api_records}", "--split=train", f"--draw={tmp_path / 'pages'}"]) == 0
    page = (tmp_path / "pages" / "train" / "index.html").read_text()
    assert page.count("<img") > 20 and "Nothing was found." in page
    capsys.readouterr()


def test_incomplete_and_broken_sets_are_named(shapes_set, tmp_path):
    folder = write_shards(tmp_path, shapes_set, splits=("val",))
    middle = folder / "coco_val.record-00001-of-00003"
    data = middle.read_bytes()
    middle.write_bytes(data[:-20])
    with pytest.raises(UserError, match=rf"{middle.name} is broken at byte \d+: it ends within a record"):
        read_manifest(folder, "val")
    middle.unlink()
    with pytest.raises(UserError, match="has 2 of 3 shards"):
        read_manifest(folder, "val")
    with pytest.raises(UserError, match="has no split train; it has coco_val"):
        read_manifest(folder, "train")
    middle.write_bytes(data)
    assert read_manifest(folder, "coco_val").num_images == 13
    with tf.io.TFRecordWriter(str(middle)) as writer:
        writer.write(
            example(COCO(), {"id": 1, "height": 5, "width": 5, "file_name": "a"}, b"no image").SerializeToString()
        )
    (folder / "coco_val.manifest.json").unlink()
    with pytest.raises(UserError, match=r"the image of record 5 \(a\) cannot be read: not an image"):
        read_manifest(folder, "val")
