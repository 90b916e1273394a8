"""The batches of the reader, to the last bit, for settings without crop, jitter or colours: SHA-256 of all tensors.

The hashes are those of the reader before images had a `Placement`; they must not change.
"""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet import config
from awsdet.data.coco.masks import run_lengths
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import eval_dataset, train_dataset
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest


def options(**changes):
    settings = config.mask_rcnn().data
    settings.update(changes)
    return reader_options(settings)


def hash_of(batches):
    total = hashlib.sha256()
    for batch in batches:
        for value in tf.nest.flatten(batch, expand_composites=True):
            array = value.numpy()
            total.update(f"{array.dtype} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def training(manifest, rank=0, world_size=1, **changes):
    world = {"rank": rank, "world_size": world_size}
    return hash_of(train_dataset(manifest, options(**changes), seed=3, epochs=2, **world).dataset)


def evaluation(manifest, **changes):
    return hash_of(eval_dataset(manifest, options(**changes), rank=0, world_size=1))


def star(rng, width, height):
    """x0, y0, x1, … of a polygon that may reach out of the image."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    reach = rng.uniform(3, 40, 9)
    centre = rng.uniform(0, width), rng.uniform(0, height)
    points = np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)], axis=1)
    return np.round(points, 2).reshape(-1).tolist()


@pytest.fixture(scope="module")
def drawn_records(tmp_path_factory):
    """Records of 19 noisy PNG images with polygons, run lengths, crowds, small objects and empty images."""
    folder, rng = tmp_path_factory.mktemp("golden"), np.random.default_rng(11)
    images, annotations = [], []
    for number in range(1, 20):
        height, width = (1, 1) if number == 5 else (int(side) for side in rng.integers(20, 170, 2))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        for _ in range(0 if number % 6 == 0 else int(rng.integers(1, 9))):
            kind = rng.integers(4)
            if kind < 2:
                segmentation = [star(rng, width, height) for _ in range(kind + 1)]
            else:
                counts = run_lengths(rng.random((height, width)) < 0.4)
                segmentation = {"size": [height, width], "counts": counts}
            x, y = rng.uniform(-5, width - 1), rng.uniform(-5, height - 1)
            box = [round(float(value), 2) for value in (x, y, rng.uniform(1, width), rng.uniform(1, height))]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": int(rng.integers(1, 4)), "bbox": box}
                | {"segmentation": segmentation, "area": 9.0, "iscrowd": int(kind == 3)}
            )
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": number, "name": f"class {number}"} for number in (1, 2, 3)]
    (folder / "a.json").write_text(json.dumps(content))
    return convert(folder / "a.json", folder, folder / "records", "train", shards=2, workers=1)


SMALL = {"short_sides": (64, 96, 200), "max_long_side": 260, "eval_short_side": 96}


@pytest.mark.parametrize(
    "read, changes, expected",
    [
        (training, {"batch_size": 3, **SMALL}, "c0eee1685027442fcc592ac193695aa927cd856d053bc1fca424e8153b66ff4c"),
        (
            training,
            {"batch_size": 2, "pad_multiple": 64, "keep_empty": False, "flip_probability": 1.0, **SMALL},
            "f6bb5eac81383c4d4abf207779eb048b2c767988f308f33cd42bafc1a36091bc",
        ),
        (
            training,
            {"batch_size": 2, "rank": 1, "world_size": 3, **SMALL},
            "8a70fbf05bbe5a6ed51f3ad36d0638c8a2f809d8370e229ad8fd289f59778c8e",
        ),
        (
            evaluation,
            {"eval_batch_size": 4, **SMALL},
            "b88332c4f92ee084f6ca39b2ecdbf20e4873d8636162fef28ab24f682279ba24",
        ),
    ],
)
def test_batches_of_drawn_images_are_what_they_were(drawn_records, read, changes, expected):
    assert read(drawn_records, **changes) == expected


@pytest.mark.parametrize(
    "read, changes, expected",
    [
        (
            training,
            {"batch_size": 4, "short_sides": (256, 320), "max_long_side": 512},
            "e772576238d0535f7799672092ba7355b44fcbd6233f1fd479133ce6cd4ced59",
        ),
        (
            evaluation,
            {"eval_batch_size": 4, "eval_short_side": 256, "max_long_side": 512},
            "04081e8eef7667e02c54180641a0793c04ef5563d2f5cb46f5a2ec8127ed97af",
        ),
        (evaluation, {}, "2f14c0f94608c8ddfb0f7d0d088148ae9861a549a35c38d6c1d5ce3ebebbe42f"),
    ],
)
def test_batches_of_coco_are_what_they_were(coco_records, read, changes, expected):
    assert read(read_manifest(coco_records, "val" if read is evaluation else "train"), **changes) == expected
