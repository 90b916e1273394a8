"""A small data set in zip archives, as a server of COCO would have it."""

import hashlib
import io
import json
import zipfile

import numpy as np
from PIL import Image

from awsdet.data.download.sets import Archive, DataSet, Split


def image(number):
    noise = np.random.default_rng(number).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG")
    return out.getvalue()


def annotations(count):
    """A COCO detection file with an object per image, as bytes."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 24, "width": 32} for i in range(count)]
    box = {"bbox": [2, 3, 10, 8], "area": 80, "iscrowd": 0, "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]]}
    objects = [{"id": i + 1, "image_id": i, "category_id": 1, **box} for i in range(count)]
    content = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    return json.dumps(content).encode()


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """A zip archive as bytes. files: (name or ZipInfo, content)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in files:
            made.writestr(name, content)
    return out.getvalue()


FILES = {
    "train": [("train2017/", b""), *((f"train2017/{i}.jpg", image(i)) for i in range(4))],
    "val": [(f"val2017/{i}.jpg", image(10 + i)) for i in range(2)],
    "annotations": [
        ("annotations/instances_train2017.json", annotations(4)),
        ("annotations/instances_val2017.json", annotations(2)),
    ],
}
ADDRESSES = {"train": "zips/train2017.zip", "val": "zips/val2017.zip", "annotations": "annotations/both.zip"}


def data_set(contents, **changes):
    """A DataSet of archives. contents: part -> bytes; changes: fields of all archives."""
    archives = [
        Archive(
            part,
            f"http://images.example/{ADDRESSES[part]}",
            len(content),
            hashlib.md5(content).hexdigest(),
            "annotations" if part == "annotations" else f"{part}2017",
            10_000,
        )._replace(**changes)
        for part, content in contents.items()
    ]
    splits = (
        Split("train", "annotations/instances_train2017.json", "train2017"),
        Split("val", "annotations/instances_val2017.json", "val2017"),
    )
    return DataSet("coco2017", tuple(archives), splits, "https://terms.example")
