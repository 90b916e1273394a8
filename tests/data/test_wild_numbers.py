"""Annotations with numbers of any size, from the file to batches, targets, metrics and pictures: all end well."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet import config as config_lib
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset, train_dataset
from awsdet.data.records.convert import convert
from awsdet.data.records.inspection import inspect
from awsdet.data.records.read import read_ground_truth
from awsdet.detection.mask_areas import shares_inside
from awsdet.evaluation.coco_metric import coco_metrics
from awsdet.inference.annotated import true_mask
from awsdet.models.heads.mask_head import mask_targets

HEIGHT, WIDTH = 48, 64
NUMBERS = [
    1e9,
    -1e9,
    1e308,
    -1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    2**31,
    2**63,
    10**400,
    "1e9",
    None,
    True,
]
SQUARE = [10, 8, 30, 8, 30, 24, 10, 24]


def wild_annotations():
    """Each of NUMBERS in each place of a box, a polygon, run lengths and the area."""
    sound = {
        "image_id": 1,
        "category_id": 1,
        "bbox": [10, 8, 20, 16],
        "area": 320,
        "iscrowd": 0,
        "segmentation": [SQUARE],
    }
    rows = [sound]
    for number in NUMBERS:
        for place in range(4):
            rows.append({**sound, "bbox": [*sound["bbox"][:place], number, *sound["bbox"][place + 1 :]]})
            rows.append({**rows[-1], "segmentation": []})
        for place in (0, 3, 6):
            rows.append({**sound, "segmentation": [[*SQUARE[:place], number, *SQUARE[place + 1 :]]]})
            rows.append({**rows[-1], "segmentation": [*rows[-1]["segmentation"], SQUARE], "iscrowd": place // 6})
        rows.append({**sound, "area": number})
        rows.append({**sound, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [number, 5]}})
        rows.append({**sound, "segmentation": {"size": [number, WIDTH], "counts": [HEIGHT * WIDTH - 5, 5]}})
    return [{**row, "id": number} for number, row in enumerate(rows, 1)]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wild")
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(folder / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "annotations": wild_annotations(),
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "wild.json").write_text(json.dumps(content))
    return convert(folder / "wild.json", folder, folder / "records", "train", workers=1)


def test_what_is_sound_is_kept_and_the_set_is_whole(manifest):
    (inspection,) = inspect(manifest.directory)
    assert inspection.faults == []
    annotations = read_ground_truth(manifest)["annotations"]
    assert len(annotations) + manifest.anomalies.counts["annotation_malformed"] == len(wild_annotations())
    sound = [a for a in annotations if a["bbox"] == [10, 8, 20, 16]]
    assert len(sound) > 150 and len([a for a in sound if a["segmentation"] == [SQUARE]]) > 70


@pytest.mark.parametrize("crop", ["1,1", "0.8,0.8"])
def test_batches_targets_and_pictures(manifest, crop):
    config = config_lib.mask_rcnn()
    config.data.update(
        batch_size=1, crop=tuple(map(float, crop.split(","))), short_sides=(96,), eval_short_side=96, max_long_side=160
    )
    options = reader_options(config.data)
    batches = [
        next(iter(train_dataset(manifest, options, seed=1, rank=0, world_size=1, epochs=1).dataset)),
        next(iter(eval_dataset(manifest, options, rank=0, world_size=1))),
    ]
    for batch in batches:
        boxes, real = batch["boxes"][0].numpy(), batch["classes"][0].numpy() >= 0
        height, width = batch["image_size"][0].numpy()
        assert real.sum() > 50 and np.isfinite(boxes).all()
        assert (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        rows = np.flatnonzero(real).astype(np.int32)
        place = (batch["masks"], batch["image_size"], tf.gather(batch["boxes"][0], rows), tf.zeros_like(rows), rows)
        assert np.isin(mask_targets(*place, 28), [0, 1]).all() and np.isfinite(shares_inside(*place)).all()
        size = [int(height), int(width)]
        for polygons, runs in zip(batch["masks"]["polygons"][0].to_list(), batch["masks"]["rles"][0].to_list()):
            mask = true_mask(polygons, runs, size)
            assert mask is None or coco_mask.decode(mask).shape == tuple(size)


def test_metrics(manifest):
    truth = read_ground_truth(manifest)
    square = coco_mask.merge(coco_mask.frPyObjects([SQUARE], HEIGHT, WIDTH))
    found = [{"image_id": 1, "category_id": 1, "bbox": [10, 8, 20, 16], "score": 0.5, "segmentation": square}]
    metrics = coco_metrics(truth, found, with_masks=True)
    assert 0 < metrics["box_ar100"] < 1 and 0 < metrics["mask_ar100"] < 1
