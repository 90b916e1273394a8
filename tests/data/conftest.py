"""Data sets that several tests read."""

import pathlib

import pytest

from awsdet.data.coco import shapes
from awsdet.data.records.convert import convert

COCO_TINY = pathlib.Path(__file__).parents[3] / "shared" / "data" / "coco_tiny"


@pytest.fixture(scope="session")
def coco_tiny():
    """The folder of 160 real COCO images, kept beside the repository; tests that need it are skipped without it."""
    if not COCO_TINY.is_dir():
        pytest.skip(f"needs the real COCO images in {COCO_TINY}")
    return COCO_TINY


@pytest.fixture(scope="session")
def coco_records(coco_tiny, tmp_path_factory):
    """Records folder of coco_tiny, splits train and val."""
    records = tmp_path_factory.mktemp("coco_records")
    for split in ("train", "val"):
        annotations = coco_tiny / "annotations" / f"instances_{split}2017.json"
        convert(annotations, coco_tiny / f"{split}2017", records, split, shards=3, workers=1)
    return records


@pytest.fixture(scope="session")
def shapes_set(tmp_path_factory):
    """Folder of a small built-in data set: 41 training images, 13 held out."""
    folder = tmp_path_factory.mktemp("shapes")
    shapes.generate(folder, train_images=41, val_images=13, image_size=96, seed=5)
    return folder


@pytest.fixture(scope="session")
def shapes_records(shapes_set, tmp_path_factory):
    """Records folder of `shapes_set`, splits train and val."""
    records = tmp_path_factory.mktemp("shapes_records")
    for split in ("train", "val"):
        annotations = shapes_set / "annotations" / f"instances_{split}.json"
        convert(annotations, shapes_set / "images" / split, records, split, shards=2, workers=1)
    return records
