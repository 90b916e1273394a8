import hashlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.cli.main import main
from awsdet.data.records import fingerprints
from awsdet.data.records.inspection import inspect, report
from awsdet.data.records.read import read_example, read_ground_truth, read_manifest
from awsdet.runtime.errors import UserError


@pytest.fixture
def records(shapes_records, tmp_path):
    return shutil.copytree(shapes_records, tmp_path / "records")


def test_whole_records_are_reported_with_their_numbers(records, capsys):
    assert main(["inspect", f"--records={records}"]) == 0
    printed = capsys.readouterr().out
    annotations = read_ground_truth(read_manifest(records, "train"))["annotations"]
    assert f"train: 41 images, {len(annotations)} annotations, 4 classes, 2 shards" in printed
    assert "val: 13 images" in printed and printed.count("all shards whole") == 2
    stars = sum(a["category_id"] == 11 for a in annotations)
    line = next(line for line in printed.splitlines() if line.split()[:2] == ["11", "star"])
    assert line.split()[2] == str(stars) and "#" in line
    assert "width 72 to 96 px" in printed


def test_contents_count_rows_of_each_kind(records):
    (inspection,) = inspect(records, "train")
    contents = inspection.contents
    annotations = read_ground_truth(inspection.manifest)["annotations"]
    assert contents.is_crowd.sum() == sum(a["iscrowd"] for a in annotations)
    assert (contents.mask == "RLE").sum() == sum(isinstance(a["segmentation"], dict) for a in annotations)
    assert contents.area.sum() == pytest.approx(sum(a["area"] for a in annotations))
    assert contents.is_trainable.sum() == inspection.manifest.num_objects.sum()


def test_boxes_and_masks_are_those_of_the_annotations(records):
    (inspection,) = inspect(records, "train")
    contents, manifest = inspection.contents, inspection.manifest
    places = {number: place for place, number in enumerate(contents.id.tolist())}
    for annotation in read_ground_truth(manifest)["annotations"]:
        place = places.pop(annotation["id"])
        x, y, width, height = annotation["bbox"]
        assert contents.box[place].tolist() == [x, y, x + width, y + height]
        assert manifest.image_id[contents.row[place]] == annotation["image_id"]
        mask = coco_mask.merge(_rles(annotation, manifest, contents.row[place]))
        area, bounds = coco_mask.area(mask), coco_mask.toBbox(mask)
        assert contents.mask_area[place] == pytest.approx(area, rel=0.15, abs=8)  # of a polygon: not by pixels
        low, high = contents.mask_box[place, :2], contents.mask_box[place, 2:]
        np.testing.assert_allclose(np.concatenate([low, high - low]), bounds, atol=3)
    assert not places


def _rles(annotation, manifest, row):
    size = int(manifest.height[row]), int(manifest.width[row])
    found = coco_mask.frPyObjects(annotation["segmentation"], *size)
    return found if isinstance(found, list) else [found]


def test_looking_at_images_gives_each_its_digest_and_a_tiny_version(records):
    (inspection,) = inspect(records, "train", look=True)
    images = inspection.images
    assert images.row.tolist() == list(range(41)) and images.grey.shape == (41, 9, 9)
    assert len(set(images.digest)) == 41 and {len(digest) for digest in images.digest} == {32}
    example = read_example(inspection.manifest, 7).features.feature
    assert hashlib.sha256(example["image/encoded"].bytes_list.value[0]).digest() == images.digest[7]
    decoded = Image.open(io.BytesIO(example["image/encoded"].bytes_list.value[0])).convert("L")
    assert images.grey[7].mean() == pytest.approx(np.asarray(decoded).mean(), abs=2)
    assert inspect(records, "train")[0].images.grey is None


def test_an_image_that_cannot_be_decoded_is_a_fault_when_images_are_looked_at(records, monkeypatch):
    monkeypatch.setattr(fingerprints, "tiny", broken_image)
    faults = inspect(records, "val", look=True)[0].faults
    assert len(faults) == 2 and "is not fully readable: the image with id" in faults[0] and "cut off" in faults[0]


def broken_image(encoded):
    raise OSError("cut off")


def damage_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def shorten(path):
    path.write_bytes(path.read_bytes()[:-5])


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    "harm, words",
    [(damage_byte, "its checksum differs from the manifest"), (shorten, "bytes, not"), (remove, "missing")],
)
def test_a_harmed_shard_is_named_with_code_2(records, harm, words, capsys):
    harm(records / "train-00001-of-00002.tfrecord")
    assert main(["inspect", f"--records={records}"]) == 2
    captured = capsys.readouterr()
    assert "train-00001-of-00002.tfrecord is " in captured.err and words in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert "BROKEN" in captured.out and "val: 13 images" in captured.out


def test_every_harmed_shard_is_listed(records):
    for number in range(2):
        shorten(records / f"train-0000{number}-of-00002.tfrecord")
    (inspection,) = inspect(records, "train")
    assert len(inspection.faults) == 2
    assert report(inspection).count("is broken") == 2


def test_shards_that_are_not_the_manifests_are_found_without_checksums(records):
    """Shards of other programs have no checksum in the manifest, only those of TFRecord, and the index."""
    manifest = (records / "val.manifest.json").read_text()
    for shard in read_manifest(records, "val").shards:
        manifest = manifest.replace(shard.sha256, "")
    (records / "val.manifest.json").write_text(manifest)
    assert inspect(records, "val")[0].faults == []
    damage_byte(records / "val-00000-of-00002.tfrecord")
    (fault,) = inspect(records, "val")[0].faults
    assert "val-00000-of-00002.tfrecord is broken: corrupted record" in fault


def test_missing_things_are_named(tmp_path, capsys):
    for folder in ("nowhere", ""):
        with pytest.raises(UserError, match="does not exist"):
            inspect(folder and tmp_path / folder)
    with pytest.raises(UserError, match="holds no records"):
        inspect(tmp_path)
    assert main(["inspect"]) == 2
    assert "--records is missing" in capsys.readouterr().err


def test_real_coco_records_are_whole(coco_records):
    train, val = inspect(coco_records)
    assert not train.faults and not val.faults
    assert (len(train.contents.area), len(val.contents.area)) == (705, 815)
    assert len(set(train.contents.class_index)) > 40
