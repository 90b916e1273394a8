"""A split of another format as the content of a COCO detection file, and the objects that it is made of.

Only the form changes here. What is wrong with a number, a box or a mask is left as it is: the cleaning of COCO files
counts and mends it by the same rules. Coordinates are pixels of the upright image; 0 is its left and its top edge.
"""

import hashlib
import json
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.data.coco.anomalies import Anomalies


class Translated(NamedTuple):
    """A split of another format.

    Attributes:
        path: the folder or file that holds the annotations; it stands for the annotation file in messages.
        images: folder that the file names are relative to.
        content: what a COCO detection file of the same objects holds.
        found: the Anomalies of the translation.
        left_out: how many objects are not in `content`.
    """

    path: pathlib.Path
    images: pathlib.Path
    content: dict
    found: Anomalies
    left_out: int

    def __str__(self) -> str:
        return str(self.path)

    def sha256(self) -> str:
        """A digest of the content, which stands for that of an annotation file."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()


class Shape(NamedTuple):
    """Where an object is. box: x, y, width, height, or what the file has in its place; area: px², or None.

    segmentation: as COCO has it; None without a mask.
    """

    box: list | None
    area: float | None
    segmentation: list | dict | None = None


class Collector:
    """Gathers the images and objects of a split.

    Args:
        path, images: see Translated.
        categories: category id -> name, of the whole data set.
    """

    def __init__(self, path: pathlib.Path, images: pathlib.Path, categories: dict[int, str]):
        self.found, self.left_out = Anomalies(), 0
        self._path, self._images = path, images
        self._content = {
            "images": [],
            "annotations": [],
            "categories": [{"id": number, "name": name} for number, name in categories.items()],
        }
        self._numbers = {name: number for number, name in categories.items()}

    def add_image(self, file_name: str, size: tuple[int, int] | None) -> int:
        """Adds an image of `size`: height and width, or None if they are not known. Returns its id."""
        number = len(self._content["images"]) + 1
        height, width = size or (0, 0)
        self._content["images"].append({"id": number, "file_name": file_name, "height": height, "width": width})
        return number

    def add_object(self, image: int, category: int | str, shape: Shape, crowd: bool = False) -> None:
        """Adds an object of an image. category: its id or its name; one that is not listed is counted later."""
        annotations = self._content["annotations"]
        entry = {"id": len(annotations) + 1, "image_id": image, "iscrowd": int(crowd)}
        entry["category_id"] = self._numbers.get(category, category)
        if shape.box is not None:
            entry["bbox"] = shape.box
        if shape.area is not None:
            entry["area"] = shape.area
        if shape.segmentation is not None:
            entry["segmentation"] = shape.segmentation
        annotations.append(entry)

    def leave_out(self, kind: str, name: str, objects: int = 1) -> None:
        """Counts objects that cannot be added."""
        self.found.add(kind, name)
        self.left_out += objects

    def translated(self) -> Translated:
        """What was gathered."""
        return Translated(self._path, self._images, self._content, self.found, self.left_out)


def from_box(x: float, y: float, width: float, height: float) -> Shape:
    """An object of which only the box is known."""
    return Shape([x, y, width, height], width * height)


def from_polygons(polygons: Sequence[list[float]]) -> Shape:
    """An object of polygons, each a list x, y, x, y, …; its box holds all of them.

    Polygons from which no box can be made are passed on as they are.
    """
    numbers = [number for polygon in polygons for number in polygon]
    usable = all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
    if not polygons or not usable or not all(map(math.isfinite, numbers)):
        return Shape(None, None, [list(polygon) for polygon in polygons])
    xs, ys = numbers[::2], numbers[1::2]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return Shape(box, sum(map(_area, polygons)), [list(polygon) for polygon in polygons])


def from_pixels(pixels: np.ndarray) -> Shape:
    """An object that covers the true pixels of a bool array [height, width], one at least."""
    counts = coco_mask.encode(np.asfortranarray(pixels, np.uint8))["counts"].decode()
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    box = [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
    return Shape(box, int(pixels.sum()), {"size": list(pixels.shape), "counts": counts})


def _area(polygon):
    """The area of a polygon by the shoelace formula, px²."""
    xs, ys = np.asarray(polygon[::2]), np.asarray(polygon[1::2])
    return float(abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1))) / 2)
