"""A small record set in which everything is wrong that the pages show, for the tests and to look at.

`python tests/survey/odd_set.py FOLDER` makes the records in FOLDER/records, splits train and val.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

from awsdet.data.records.convert import convert

WIDTH, HEIGHT = 160, 120  # px of an image
INJECTED = "<script>alert(1)</script>\"'<img src=x onerror=alert(2)>&amp;"
NAMES = ["person", "persn", "car", "Cars", "traffic light", "7", INJECTED, "猫", "never seen", "only in val"]
ODD_FILE = 'a "b" <i>c&d.jpg'  # any name that a file may have


def make(folder):
    """Makes the set in `folder`. Returns the folder of the records."""
    folder = pathlib.Path(folder)
    (folder / "images").mkdir(parents=True)
    for split in ("train", "val"):
        content = _content(split, folder / "images")
        path = folder / f"{split}.json"
        path.write_text(json.dumps(content))
        convert(path, folder / "images", folder / "records", split, shards=2, workers=1)
    return folder / "records"


def scene(seed):
    """A picture with large and small patches: uint8 [HEIGHT, WIDTH, 3]."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        for n in (3, 9)
    ]
    return np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8)


def rectangle(x, y, width, height):
    """The polygon of a rectangle."""
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


# Image number -> annotations, each a dict of what differs from an ordinary one; `bbox` is always there.
TRAIN = {
    1: [
        {"bbox": [20, 20, 60, 50]},
        {"bbox": [90, 30, 40, 70], "category_id": 3},
        {"bbox": [5, 80, 30, 30], "iscrowd": 1},
    ],
    2: [{"bbox": [10 + 14 * i, 10 + 9 * i, 12, 10], "category_id": 1 + i % 8} for i in range(10)],
    3: [{"bbox": [50, 40, 140, 100], "segmentation": rectangle(50, 40, 90, 60)}],  # two corners
    4: [{"bbox": [5, 5, 30, 20], "segmentation": rectangle(100, 80, 40, 30)}],  # contradicts its polygon
    5: [{"bbox": [10, 10, 50, 40]}],
    6: [{"bbox": [120, 60, 70, 40]}, {"bbox": [20, 20, 30, 30]}],
    7: [{"bbox": [10, 20, 40, 40]}, {"bbox": [10.2, 20, 40, 40]}, {"bbox": [80, 50, 60, 2], "category_id": 7}],
    8: [{"bbox": [30, 30, 0.4, 20]}, {"bbox": [60, 20, 50, 50], "area": 40.0}],
    9: [],
    10: [{"bbox": [40, 30, 80, 60], "segmentation": None}, {"bbox": [2, 2, 3, 3], "category_id": 8}],
    11: [{"bbox": [20, 20, 60, 50]}],  # the picture of image 1, stored again
    12: [{"bbox": [0, 0, 160, 120], "category_id": 4}],  # the file of image 2, copied
}
VAL = {
    21: [{"bbox": [20, 20, 60, 50], "category_id": 10}],  # the file of image 4
    22: [{"bbox": [30, 20, 60, 50], "category_id": 3}],
}
_SEEDS = {11: 1, 12: 2, 21: 4}  # images that look like another


def _content(split, images):
    entries, annotations = [], []
    for number, listed in (TRAIN if split == "train" else VAL).items():
        name = ODD_FILE if number == 2 else f"{number}.jpg"
        Image.fromarray(scene(_SEEDS.get(number, number))).save(images / name, quality=60 if number == 11 else 95)
        entries.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for one in listed:
            x, y, width, height = one["bbox"]
            usual = {
                "id": 100 * number + len(annotations),
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "area": float(width * height),
                "segmentation": rectangle(x, y, width, height),
            }
            annotations.append({**usual, **one})
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, start=1)]
    return {"images": entries, "annotations": annotations, "categories": categories}


if __name__ == "__main__":
    print(make(sys.argv[1]))
