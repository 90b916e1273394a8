import io
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.cli.main import main
from awsdet.data.coco.anomalies import KINDS
from awsdet.data.coco.opening import ORIENTATION
from awsdet.data.records.convert import convert
from awsdet.data.records.examples import decode_annotations
from awsdet.data.records.manifest import HEADER, progress_folder
from awsdet.data.records.read import read_examples, read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[3]
HEIGHT, WIDTH = 30, 50
TRIANGLE = [10, 5, 30, 5, 20, 25]


def picture(mode="RGB", size=(WIDTH, HEIGHT)):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encode(image, kind="JPEG", orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    out = io.BytesIO()
    image.save(out, kind, exif=exif)
    return out.getvalue()


def annotation(number, image_id, **changes):
    sound = {"bbox": [10, 5, 20, 20], "area": 200, "iscrowd": 0, "segmentation": [TRIANGLE], "category_id": 3}
    return {"id": number, "image_id": image_id, **sound, **changes}


def write_set(folder, images, annotations, categories=((3, "cat"), (8, "dog"))):
    """Writes a data set; `images`: (id, name, bytes or None for a missing file[, size in the JSON])."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    entries = []
    for number, name, data, *size in images:
        if data is not None:
            (folder / "images" / name).write_bytes(data)
        height, width = size[0] if size else (HEIGHT, WIDTH)
        entries.append({"id": number, "file_name": name, "height": height, "width": width})
    names = [{"id": i, "name": name} for i, name in categories]
    content = {"images": entries, "annotations": annotations, "categories": names}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json", folder / "images"


def simple_set(folder, count):
    images = [(i, f"{i}.jpg", encode(picture())) for i in range(1, count + 1)]
    return write_set(folder, images, [annotation(i, i) for i in range(1, count + 1)])


def troubled_set(folder):
    sound = encode(picture())
    deep = Image.fromarray(np.full((HEIGHT, WIDTH), 40000, np.uint16))
    images = [
        (2, "sound.jpg", sound),
        (5, "grey.jpg", encode(picture("L"))),
        (6, "cmyk.jpg", encode(picture("CMYK"))),
        (7, "deep.png", encode(deep, "PNG")),
        (11, "palette.png", encode(picture("P"), "PNG")),
        (20, "turned.jpg", encode(picture(size=(HEIGHT, WIDTH)), orientation=6)),
        (21, "turned_but_not_in_the_json.jpg", encode(picture(), orientation=6)),
        (22, "upside_down.jpg", encode(picture(), orientation=3)),
        (30, "missing.jpg", None),
        (31, "cut.jpg", sound[:-200]),
        (32, "text.jpg", b"<html>not found</html>"),
        (33, "other_size.jpg", encode(picture(size=(WIDTH, WIDTH)))),
        (40, "empty.jpg", sound),
        (41, "sizeless.jpg", sound, (0, 0)),
        (41, "sizeless.jpg", sound),
    ]
    whole = {"size": [HEIGHT, WIDTH], "counts": [100, 50, HEIGHT * WIDTH - 150]}
    compressed = {**whole, "counts": coco_mask.frPyObjects(whole, HEIGHT, WIDTH)["counts"].decode()}
    annotations = [
        annotation(1, 2),
        annotation(2, 2, iscrowd=1, segmentation=whole),
        annotation(3, 2, iscrowd=1, segmentation=compressed),
        annotation(4, 2, segmentation=whole, category_id=8),
        annotation(5, 2, segmentation=[[1, 2, 3, 4], TRIANGLE]),
        annotation(6, 2, segmentation=[[1, 2, 3, 4]]),
        annotation(7, 2, bbox=[10, 5, 0, 20]),
        annotation(8, 2, bbox=[90, 40, 5, 5], segmentation=[]),
        annotation(9, 2, bbox=[40, 5, 20, 20]),
        annotation(10, 2, segmentation={"size": [WIDTH, HEIGHT], "counts": [0, HEIGHT * WIDTH]}),
        annotation(11, 2, bbox=[1, 2, 3], segmentation=[]),
        annotation(12, 99),
        annotation(13, 2, category_id=4),
        annotation(14, 30),
        annotation(15, 2, segmentation=[]),
        *(annotation(100 + i, i) for i in (5, 6, 7, 11, 20, 21, 22, 41)),
    ]
    return write_set(folder, images, annotations)


SKIPPED = {
    "image_missing": 1,
    "image_unreadable": 2,
    "image_size_differs": 1,
    "annotation_of_unknown_image": 1,
    "annotation_of_unknown_category": 1,
    "annotation_of_skipped_image": 1,
    "annotation_malformed": 1,
    "rle_turned": 1,
    "polygon_box": 2,
    "mask_dropped": 2,
    "box_degenerate": 1,
}
REPAIRED = {
    "image_duplicate": 1,
    "image_size_absent": 1,
    "image_empty": 1,
    "image_exif_rotated": 2,
    "image_exif_ignored": 1,
    "image_grey": 1,
    "image_cmyk": 1,
    "image_16_bit": 1,
    "image_reencoded": 1,
    "annotation_duplicate": 7,
    "box_clipped": 1,
    "box_from_mask": 1,
    "box_contradicts_mask": 4,
    "area_contradicts_mask": 3,
    "mask_absent": 2,
}


def test_every_trouble_is_counted_and_the_rest_written(tmp_path, capsys):
    annotations, images = troubled_set(tmp_path)
    command = ["convert", f"--annotations={annotations}", f"--images={images}", f"--output={tmp_path}/records"]
    assert main([*command, "--split=train", "--workers=1", "--shards=3"]) == 0
    printed = capsys.readouterr().out
    assert "cut.jpg (id 31)" in printed and "10 images" in printed
    manifest = read_manifest(tmp_path / "records", "train")
    assert manifest.anomalies.counts == {**SKIPPED, **REPAIRED}
    assert manifest.image_id.tolist() == [2, 5, 6, 7, 11, 20, 21, 22, 40, 41]
    assert manifest.num_objects.tolist() == [10, 1, 1, 1, 1, 1, 1, 1, 0, 1]
    assert (manifest.class_names, manifest.category_ids) == (("cat", "dog"), (3, 8))
    assert set(zip(manifest.height.tolist(), manifest.width.tolist())) == {(HEIGHT, WIDTH)}
    assert manifest.has_masks
    truth = read_ground_truth(manifest)
    kept = [a["id"] for a in truth["annotations"]]
    assert kept == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 105, 106, 107, 111, 120, 121, 122, 141]
    assert printed.rstrip().endswith(f"kept {len(kept)} of 23 annotations")
    crowds = [a["segmentation"]["counts"] for a in truth["annotations"] if a["iscrowd"]]
    assert crowds == [[100, 50, HEIGHT * WIDTH - 150]] * 2


def test_a_file_whose_boxes_are_corners_is_told_so(tmp_path, capsys):
    images = [(i, f"{i}.jpg", encode(picture())) for i in (1, 2, 3)]
    corners = annotation(1, 1, bbox=[10, 5, 30, 25]), annotation(2, 2, bbox=[30, 10, 45, 28], segmentation=[])
    annotations, images = write_set(tmp_path, images, [*corners, annotation(3, 3)])
    command = ["convert", f"--annotations={annotations}", f"--images={images}", f"--output={tmp_path}/records"]
    assert main([*command, "--split=train", "--workers=1"]) == 0
    first = capsys.readouterr().out.splitlines()[1:3]
    assert "most boxes look like x1, y1, x2, y2" in first[0] and "2 of 3 boxes" in first[1]
    truth = read_ground_truth(read_manifest(tmp_path / "records", "train"))
    assert [a["bbox"] for a in truth["annotations"]] == [[10, 5, 30, 25], [30, 10, 45, 28], [10, 5, 20, 20]]


def test_an_rle_made_before_the_exif_rotation_is_named(tmp_path):
    """The image is stored upright, 30 x 50; the tool that made the mask saw 50 x 30."""
    turned = encode(picture(size=(HEIGHT, WIDTH)), orientation=6)
    before = {"size": [WIDTH, HEIGHT], "counts": [100, 50, HEIGHT * WIDTH - 150]}
    inputs = write_set(tmp_path, [(1, "turned.jpg", turned)], [annotation(1, 1, segmentation=before)])
    manifest = convert(*inputs, tmp_path / "records", "train", workers=1)
    assert manifest.anomalies.counts == {"image_exif_rotated": 1, "rle_turned": 1, "mask_dropped": 1}
    (kept,) = read_ground_truth(manifest)["annotations"]
    assert kept["bbox"] == [10, 5, 20, 20] and kept["segmentation"]["counts"] == [HEIGHT * WIDTH]
    assert not manifest.has_masks


def test_records_hold_the_keys_of_the_object_detection_api(tmp_path):
    annotations, images = troubled_set(tmp_path)
    manifest = convert(annotations, images, tmp_path / "records", "train", workers=1)
    payloads = list(tf.data.TFRecordDataset(str(tmp_path / "records" / manifest.shards[0].file)).as_numpy_iterator())
    features = tf.train.Example.FromString(payloads[0]).features.feature
    assert features["image/encoded"].bytes_list.value[0] == (images / "sound.jpg").read_bytes()
    assert features["image/source_id"].bytes_list.value[0] == b"2"
    assert features["image/object/class/text"].bytes_list.value[:2] == [b"cat", b"dog"]
    assert features["image/object/class/label"].int64_list.value[:2] == [3, 8]
    assert features["image/object/is_crowd"].int64_list.value[:] == [0] * 8 + [1, 1]
    np.testing.assert_allclose(features["image/object/bbox/xmax"].float_list.value[:2], [0.6, 0.6])
    assert max(features["image/object/bbox/xmax"].float_list.value) <= 1.0
    assert [len(a.polygons) for a in decode_annotations(features)] == [1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0]


def test_the_index_points_at_each_record(shapes_records):
    manifest = read_manifest(shapes_records, "train")
    for number, shard in enumerate(manifest.shards):
        path = shapes_records / shard.file
        rows = np.flatnonzero(manifest.shard == number)
        payloads = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
        assert len(payloads) == len(rows)
        for row, payload in zip(rows, payloads):
            start = manifest.offset[row] + HEADER
            assert path.read_bytes()[start : start + manifest.length[row]] == payload


@pytest.mark.parametrize("kind", sorted(SKIPPED))
def test_strict_refuses_what_would_be_skipped(tmp_path, kind):
    annotations, images = troubled_set(tmp_path)
    content = json.loads(annotations.read_text())
    faults = {  # what makes each kind: image ids, annotation ids
        "image_duplicate": ([], []),
        "image_missing": ([30], []),
        "image_unreadable": ([31, 32], []),
        "image_size_differs": ([33], []),
        "annotation_of_unknown_image": ([], [12]),
        "annotation_of_unknown_category": ([], [13]),
        "annotation_of_skipped_image": ([30], [14]),
        "annotation_malformed": ([], [11]),
        "rle_turned": ([], [10]),
        "polygon_box": ([], [5]),
        "mask_dropped": ([], [6]),
        "box_degenerate": ([], [8]),
    }
    bad_images = {i for images_, _ in faults.values() for i in images_} - set(faults[kind][0])
    bad_annotations = {i for _, ids in faults.values() for i in ids} - set(faults[kind][1])
    if kind != "image_duplicate":
        content["images"].pop()
    content["images"] = [image for image in content["images"] if image["id"] not in bad_images]
    content["annotations"] = [a for a in content["annotations"] if a["id"] not in bad_annotations]
    annotations.write_text(json.dumps(content))
    with pytest.raises(UserError, match="--strict: ") as raised:
        convert(annotations, images, tmp_path / "records", "train", workers=1, strict=True)
    first = {"annotation_of_skipped_image": "image_missing", "mask_dropped": "polygon_box"}.get(kind, kind)
    assert KINDS[first].text in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(UserError, match="not finished|no split|does not exist"):
        read_manifest(tmp_path / "records", "train")


def test_strict_lets_repaired_things_pass(tmp_path):
    annotations, images = write_set(
        tmp_path, [(1, "grey.jpg", encode(picture("L"))), (2, "empty.jpg", encode(picture()))], [annotation(1, 1)]
    )
    manifest = convert(annotations, images, tmp_path / "records", "train", workers=1, strict=True)
    assert manifest.anomalies.counts == {"image_grey": 1, "image_empty": 1}


def test_strict_after_a_lenient_run_still_refuses(tmp_path):
    annotations, images = troubled_set(tmp_path)
    convert(annotations, images, tmp_path / "records", "train", workers=1)
    with pytest.raises(UserError, match="--strict"):
        convert(annotations, images, tmp_path / "records", "train", workers=1, strict=True)


def stamps(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.tfrecord")}


def test_a_rerun_writes_only_what_changed(tmp_path):
    annotations, images = simple_set(tmp_path, 9)
    first = convert(annotations, images, tmp_path / "records", "train", shards=3, workers=1)
    before = stamps(tmp_path / "records")
    again = convert(annotations, images, tmp_path / "records", "train", shards=3, workers=1)
    assert stamps(tmp_path / "records") == before and again.shards == first.shards
    (images / "5.jpg").write_bytes(encode(picture("L")))
    changed = convert(annotations, images, tmp_path / "records", "train", shards=3, workers=1)
    after = stamps(tmp_path / "records")
    assert [name for name in before if before[name] != after[name]] == ["train-00001-of-00003.tfrecord"]
    assert changed.anomalies.counts == {"image_grey": 1}
    assert changed.shards[0] == first.shards[0] and changed.shards[1] != first.shards[1]


def test_a_damaged_shard_is_written_again(tmp_path):
    annotations, images = simple_set(tmp_path, 6)
    first = convert(annotations, images, tmp_path / "records", "train", shards=2, workers=1)
    shard = tmp_path / "records" / first.shards[0].file
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    assert convert(annotations, images, tmp_path / "records", "train", shards=2, workers=1).shards == first.shards
    assert shard.read_bytes() == whole
    (tmp_path / "records" / "train.manifest.json").write_text("{")
    assert convert(annotations, images, tmp_path / "records", "train", shards=2, workers=1).shards == first.shards


def test_shards_of_another_number_are_replaced(tmp_path):
    annotations, images = simple_set(tmp_path, 6)
    convert(annotations, images, tmp_path / "records", "train", shards=3, workers=1)
    convert(annotations, images, tmp_path / "records", "train", shards=2, workers=1)
    names = sorted(path.name for path in (tmp_path / "records").iterdir())
    assert names == ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "train.manifest.json"]
    assert len(list(read_examples(read_manifest(tmp_path / "records", "train")))) == 6


def test_more_shards_than_images_are_not_made(tmp_path):
    annotations, images = simple_set(tmp_path, 2)
    assert len(convert(annotations, images, tmp_path / "records", "train", shards=7, workers=1).shards) == 2


def children(process):
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def alive(number):
    try:
        return " Z " not in pathlib.Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_killed_conversion_leaves_whole_shards_and_goes_on(tmp_path):
    annotations, images = simple_set(tmp_path, 400)
    records = tmp_path / "records"
    flags = [f"--annotations={annotations}", f"--images={images}", f"--output={records}", "--split=train"]
    command = [sys.executable, "-m", "awsdet.cli.main", "convert", *flags, "--shards=40", "--workers=2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    progress = progress_folder(records, "train")
    wait_until(lambda: len(list(progress.glob("*.json"))) >= 2 or process.poll() is not None, 90)
    workers = children(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) >= 2
    wait_until(lambda: not any(alive(number) for number in workers), 20)  # none is left behind

    finished = {path.stem for path in progress.glob("*.json")}
    assert 2 <= len(finished) < 40
    with pytest.raises(UserError, match="has not finished; run awsdet convert again"):
        read_manifest(records, "train")
    before = stamps(records)
    manifest = convert(annotations, images, records, "train", shards=40, workers=2)
    after = stamps(records)
    assert all(before[name] == after[name] for name in finished)
    assert manifest.image_id.tolist() == list(range(1, 401))
    assert not progress.exists() and not list(records.glob(".aside*"))
    uninterrupted = convert(annotations, images, tmp_path / "other", "train", shards=40, workers=1)
    assert uninterrupted.shards == manifest.shards


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"images": "nowhere"}, "image folder .*nowhere does not exist"),
        ({"annotations": "nowhere.json"}, r"nowhere\.json does not exist"),
        ({"split": "a/b"}, "split 'a/b'"),
        ({"split": ".."}, "split '..'"),
        ({"split": None}, "--split is missing"),
        ({"workers": "many"}, "workers"),
        ({"shards": "-1"}, "shards"),
    ],
)
def test_mistakes_end_in_one_line_and_code_2(tmp_path, capsys, changes, words):
    annotations, images = simple_set(tmp_path, 1)
    flags = {"annotations": annotations, "images": images, "output": tmp_path / "records", "split": "train", **changes}
    assert main(["convert", *(f"--{name}={value}" for name, value in flags.items() if value is not None)]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert re.search(words, error)


def test_a_set_without_a_usable_image_is_refused(tmp_path):
    annotations, images = write_set(tmp_path, [(1, "a.jpg", None), (2, "b.jpg", None)], [])
    with pytest.raises(UserError, match=r"none of the 2 images can be used: image file missing.*a\.jpg"):
        convert(annotations, images, tmp_path / "records", "train", workers=1)
    annotations, images = write_set(tmp_path, [], [])
    with pytest.raises(UserError, match="lists no images"):
        convert(annotations, images, tmp_path / "records", "train", workers=1)
