"""Folders of records and images whose names are patterns, or no text, for TensorFlow; and names of images like that."""

import json
import shutil

import numpy as np
from PIL import Image

from awsdet import config as configuration
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset
from awsdet.data.records.convert import convert
from awsdet.data.records.inspection import inspect
from awsdet.data.records.read import read_ground_truth, read_manifest
from tests.runtime.test_paths import ODD_NAMES, WORST_NAME


def test_records_are_written_inspected_and_read(tmp_path, shapes_records, shapes_set):
    (tmp_path / WORST_NAME).mkdir()
    images = shutil.copytree(shapes_set / "images" / "val", tmp_path / WORST_NAME / "images[1]")
    annotations = shutil.copy(shapes_set / "annotations" / "instances_val.json", tmp_path / WORST_NAME / "a[1].json")
    records = tmp_path / WORST_NAME / "records"
    convert(annotations, images, records, "val", workers=1)
    manifest = read_manifest(records, "val")
    assert inspect(records)[0].faults == []
    assert read_ground_truth(manifest) == read_ground_truth(read_manifest(shapes_records, "val"))
    batch = next(iter(eval_dataset(manifest, reader_options(configuration.mask_rcnn().data), rank=0, world_size=1)))
    assert batch["image"].shape[0] == 2


def test_images_of_any_name(tmp_path):
    names = [name for name in ODD_NAMES if len(name) < 100]
    for name in names:
        Image.new("RGB", (32, 32)).save(tmp_path / name, format="JPEG")
    refused = ["nul\0l", "\ud800", "y" * 300, "../" * 2000 + "x"]
    content = {
        "images": [
            {"id": number, "file_name": name, "width": 32, "height": 32}
            for number, name in enumerate([*names, *refused], 1)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
            for number in range(1, len(names) + len(refused) + 1)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    manifest = convert(tmp_path / "a.json", tmp_path, tmp_path / "records", "train", workers=1)
    counts = manifest.anomalies.counts
    assert counts["image_malformed"] + counts["image_no_access"] == len(refused)
    truth = read_ground_truth(manifest)
    assert [image["file_name"] for image in truth["images"]] == names
    assert np.array_equal(manifest.image_id, range(1, len(names) + 1))
