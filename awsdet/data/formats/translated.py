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


def from_numbers(values: np.ndarray) -> dict[int, Shape]:
    """The objects of a mask of numbers, an int array [height, width] in which 0 is no object: number -> Shape.

    All run lengths come from one pass over the pixels, since there may be thousands of objects.
    """
    height, width = values.shape
    flat = values.ravel(order="F")  # COCO's run lengths go down the columns
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    lengths, numbers = np.diff(np.append(starts, flat.size)), flat[starts]
    order = np.argsort(numbers, kind="stable")
    found, first = np.unique(numbers[order], return_index=True)
    runs = zip(np.split(starts[order], first[1:]), np.split(lengths[order], first[1:]))
    return {int(number): _of_runs(*run, height, width) for number, run in zip(found, runs) if number}


def _of_runs(starts, lengths, height, width):
    """The Shape of the pixels of some runs, ordered by their places in the columns one after the other."""
    ends = starts + lengths
    counts = np.stack([starts - np.append(0, ends[:-1]), lengths], axis=1).ravel().tolist()
    counts += [height * width - int(ends[-1])] if ends[-1] < height * width else []
    left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
    top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
    if (starts // height != (ends - 1) // height).any():  # a run goes on in the next column
        top, bottom = 0, height - 1
    box = [left, top, right + 1 - left, bottom + 1 - top]
    return Shape(box, int(lengths.sum()), {"size": [height, width], "counts": counts})


def _area(polygon):
    """The area of a polygon by the shoelace formula, px²."""
    xs, ys = np.asarray(polygon[::2]), np.asarray(polygon[1::2])
    return float(abs(np.dot(xs, np.roll(ys, -1)) - np.dot(ys, np.roll(xs, -1))) / 2)
