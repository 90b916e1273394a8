"""Image files of every kind in a conversion: each is stored so that training decodes it, or named."""

import json
import os
import unicodedata

import numpy as np
import pytest

from awsdet.cli.main import main
from awsdet.data.coco.anomalies import KINDS
from awsdet.data.reader.parsing import decode_image
from awsdet.data.records.convert import convert
from awsdet.data.records.inspection import inspect
from awsdet.data.records.read import read_examples, read_ground_truth
from awsdet.runtime.errors import UserError
from tests.mutilated import made_images

KINDS_OF_FILES = made_images.every_kind()


def write_set(folder, names):
    """A data set whose images have no size in the file; one object each. Returns (annotation file, image folder)."""
    (folder / "images").mkdir(exist_ok=True)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, 1)]
    objects = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 9, 9], "area": 81, "iscrowd": 0}
        for number in range(1, len(names) + 1)
    ]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder / "annotations.json", folder / "images"


def converted(folder, files, **options):
    """The Manifest of a conversion of files: name -> bytes."""
    annotations, images = write_set(folder, files)
    for name, data in files.items():
        (images / name).write_bytes(data)
    return convert(annotations, images, folder / "out", "train", workers=1, **options)


def test_every_kind_is_stored_as_the_reader_decodes_it_and_inspect_agrees(tmp_path):
    manifest = converted(tmp_path, KINDS_OF_FILES)
    assert manifest.num_images == len(KINDS_OF_FILES)
    for row, example in enumerate(read_examples(manifest)):
        features = example.features.feature
        shape = decode_image(features["image/encoded"].bytes_list.value[0]).shape
        assert tuple(shape) == (manifest.height[row], manifest.width[row], 3)
    assert inspect(tmp_path / "out")[0].faults == []
    counts = manifest.anomalies.counts
    assert counts["image_frames"] == 4 and counts["image_float"] == 1 and counts["image_alpha"] == 4
    assert not any(KINDS[kind].skips for kind in counts)


def test_what_stands_in_the_place_of_a_file_is_named_and_not_waited_for(tmp_path):
    good = KINDS_OF_FILES["png"]
    annotations, images = write_set(tmp_path, ["a.png", "pipe.png", "folder.png", "gone.png", "empty.png"])
    (images / "a.png").write_bytes(good)
    os.mkfifo(images / "pipe.png")
    (images / "folder.png").mkdir()
    (images / "empty.png").touch()
    found = convert(annotations, images, tmp_path / "out", "train", workers=1).anomalies
    assert found.counts["image_no_access"] == 2 and found.counts["image_missing"] == 1
    assert found.examples["image_no_access"] == [
        "pipe.png (id 2): it is a pipe, not a file",
        "folder.png (id 3): it is a folder",
    ]
    assert found.examples["image_unreadable"] == ["empty.png (id 5): it is empty (0 bytes)"]


def test_names_that_are_not_utf_8_or_not_printable_come_back_whole(tmp_path, capsys):
    names = [os.fsdecode(b"caf\xe9.png"), "new\nline.png", "山 \x1b[31m.png"]
    annotations, images = write_set(tmp_path, names)
    for name in names[:2]:
        (images / name).write_bytes(KINDS_OF_FILES["gif"])
    (images / names[2]).write_bytes(b"damaged")
    arguments = [f"--annotations={annotations}", f"--images={images}", f"--output={tmp_path / 'out'}", "--split=a"]
    assert main(["convert", *arguments, "--workers=1"]) == 0
    printed = capsys.readouterr().out
    assert "caf\\xe9.png" in printed and "new\\nline.png" in printed and "\x1b" not in printed
    manifest = inspect(tmp_path / "out")[0].manifest
    assert [image["file_name"] for image in read_ground_truth(manifest)["images"]] == names[:2]


def test_the_other_unicode_spelling_of_a_name_is_found_and_counted(tmp_path):
    listed = unicodedata.normalize("NFC", "café.png")
    annotations, images = write_set(tmp_path, [listed])
    (images / unicodedata.normalize("NFD", listed)).write_bytes(KINDS_OF_FILES["png"])
    manifest = convert(annotations, images, tmp_path / "out", "train", workers=1)
    assert manifest.num_images == 1 and manifest.anomalies.counts["image_renamed"] == 1


def test_large_images_are_named_as_large_and_a_higher_limit_takes_them(tmp_path, capsys):
    files = {"a.png": KINDS_OF_FILES["png"], "b.png": made_images.saved(made_images.picture(300, 400), "PNG")}
    manifest = converted(tmp_path, files, max_megapixels=0.1)
    (example,) = manifest.anomalies.examples["image_too_large"]
    assert "b.png (id 2): it is large: 400 x 300, 0.12 megapixels, more than the limit of 0.1" in example
    assert "image_unreadable" not in manifest.anomalies.counts
    assert converted(tmp_path, files, max_megapixels=0.2).num_images == 2  # and the shard is written anew
    arguments = [f"--annotations={tmp_path / 'annotations.json'}", f"--images={tmp_path / 'images'}", "--split=a"]
    assert main(["convert", *arguments, f"--output={tmp_path / 'out'}", "--max-megapixels=1000"]) == 2
    assert "--max-megapixels=1000.0: it must be" in capsys.readouterr().err


def test_inspect_finds_what_the_reader_cannot_decode_in_our_own_records(tmp_path, monkeypatch, capsys):
    """Such records were written by versions that checked with Pillow alone."""
    harmed = KINDS_OF_FILES["png"][:-12]
    monkeypatch.setattr("awsdet.data.coco.images.decoded", lambda data: made_images.by_pillow(data))
    manifest = converted(tmp_path, {"whole.png": KINDS_OF_FILES["png"], "cut.png": harmed})
    assert manifest.num_images == 2
    assert main(["inspect", f"--records={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the image with id 2 (cut.png): truncated or damaged PNG data" in error and "convert again" in error


def test_a_flipped_byte_is_traced_to_its_record(tmp_path):
    manifest = converted(tmp_path, {f"{i}.png": KINDS_OF_FILES["png"] for i in range(3)}, shards=1)
    shard = manifest.directory / manifest.shards[0].file
    data = bytearray(shard.read_bytes())
    data[int(manifest.offset[1]) + 50] ^= 1
    shard.write_bytes(bytes(data))
    (fault,) = inspect(tmp_path / "out")[0].faults
    assert "its checksum differs from the manifest; damaged are 1 of its 3 records, image ids 2" in fault


def test_a_jpeg_whose_data_end_early_is_counted_with_what_libjpeg_says(tmp_path, capfd):
    whole = made_images.saved(made_images.picture(200, 300), "JPEG", quality=95)
    cut = whole[: len(whole) * 9 // 10]
    manifest = converted(tmp_path, {"a.jpg": whole, "b.jpg": cut + b"\xff\xd9", "refused.jpg": cut})
    assert manifest.num_images == 2 and manifest.anomalies.counts["image_damaged"] == 1
    (example,) = manifest.anomalies.examples["image_damaged"]
    assert example.startswith("b.jpg (id 2): Corrupt JPEG data: ") and "b.jpg" in example
    said = capfd.readouterr().err
    assert "JPEG" not in said, said  # of the one that is refused, the table tells


def test_strict_refuses_an_image_of_unknown_range(tmp_path):
    files = {"a.tif": made_images.tiff(np.full((9, 9), 700, np.uint16))}
    with pytest.raises(UserError, match=r"--strict: .*a\.tif \(id 1\): its 16-bit values reach only 700 of 65535"):
        converted(tmp_path, files, strict=True)
