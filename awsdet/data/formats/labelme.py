"""labelme: a JSON file per image, with its shapes in pixels.

Polygons, circles and masks give masks, rectangles give boxes. Shapes of one label and one group are one object. The
image is the file that imagePath names; imageData, a copy of it inside the JSON, is not read.
"""

import base64
import binascii
import json
import math
import os
import pathlib
import posixpath
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.images import MAX_PIXELS
from awsdet.data.coco.numerals import finite_numbers
from awsdet.data.formats.folders import (
    Images,
    Unreadable,
    counted,
    decoded,
    one_split,
    posix,
    read_bytes,
    split_folders,
    upright_size,
    walk,
)
from awsdet.data.formats.number_images import numbers_of
from awsdet.data.formats.translated import Collector, Shape, Translated, from_box, from_numbers, from_polygons
from awsdet.runtime.errors import UserError

_CORNERS = 64  # of the polygon that stands for a circle
_NO_OBJECTS = ("_background_", "__ignore__")  # labels that labelme keeps for what is no object


class Piece(NamedTuple):
    """A shape of a file. polygon: x, y, x, y, …; None for a mask. is_box: whether it says nothing of the outline.

    pixels: of a mask, bool [height, width] of the image; else None.
    """

    polygon: list[float] | None
    is_box: bool = False
    pixels: np.ndarray | None = None


class File(NamedTuple):
    """What a JSON file says. size: height and width; None if it does not say."""

    image: str
    size: tuple[int, int] | None
    shapes: list


def translate(
    dataset: pathlib.Path, images: pathlib.Path | None, classes: list[str] | None, split: str | None
) -> dict[str, Translated]:
    """The splits of a data set: its folders train, val, test, or all of it as `split`.

    dataset: folder of JSON files; images: that of the images, if they are not beside them; classes: names in their
    order, or None: the labels that occur, sorted. Raises UserError.
    """
    places = one_split(dataset, split)
    # Of all splits, since the classes are those of the whole data set.
    files = {one: _read_all(folder) for one, folder in {**split_folders(dataset), **places}.items()}
    read = [file for found in files.values() for file in found.values() if isinstance(file, File)]
    labels = {label for file in read for shape in file.shapes if isinstance(label := _label(shape), str)}
    names = classes or sorted(labels - set(_NO_OBJECTS))
    if not read or not names:
        raise UserError(f"{dataset} has no {'shape in its' if read else 'readable'} labelme files (JSON with shapes)")
    categories = dict(enumerate(names, 1))
    return {
        one: _collect(folder, Images(images or folder), files[one], categories, images is None)
        for one, folder in places.items()
    }


def _collect(folder, images, files, categories, beside):
    collector, seen = Collector(folder, images.folder, categories), set()
    for stem, file in files.items():
        called = images.find(stem if beside else posixpath.basename(stem))
        if isinstance(file, Unreadable):
            collector.found.add("file_unreadable", f"{stem}.json: {file}")
            seen.add(called)
            continue
        hint = posix(file.image)
        # imagePath is relative to the JSON file.
        inside = os.path.normpath(os.path.join(os.path.dirname(stem), hint)) if beside else hint
        name = images.named(inside) or called
        seen.add(name)
        name = name or hint.rpartition("/")[2] or f"{stem}.jpg"
        size = file.size or upright_size(images.folder / name)
        number = collector.add_image(name, size)
        _add_shapes(collector, number, f"{stem}.json", file.shapes, size)
    for name in images.names:
        if name not in seen:
            collector.found.add("image_without_file", name)
    return collector.translated()


def _add_shapes(collector, image, file, shapes, size):
    groups = {}
    for index, shape in enumerate(shapes):
        label, name = _label(shape), f"{file}, shape {index + 1}"
        piece = "it has no label" if label is None else _piece(shape, size)
        if label in _NO_OBJECTS or isinstance(piece, str):
            collector.leave_out("object_unread", f"{name}: {label if label in _NO_OBJECTS else piece}")
            continue
        group = shape.get("group_id")
        key = (label, index if group is None else f"group {shown_value(group)}")
        groups.setdefault(key, []).append(piece)
    for (label, _), pieces in groups.items():
        collector.add_object(image, label, _joined(pieces))


def _joined(pieces):
    """The Shape of the pieces of an object."""
    polygons = [piece.polygon for piece in pieces if piece.polygon is not None]
    outline = from_polygons(polygons)
    if all(piece.is_box for piece in pieces):
        return from_box(*outline.box)
    masks = [piece.pixels for piece in pieces if piece.pixels is not None]
    if not masks:
        return outline
    mask = from_numbers(np.logical_or.reduce(masks).astype(np.uint8))[1]
    if not polygons:
        return mask
    return Shape(None, None, [mask.segmentation, *outline.segmentation])  # its box is made from both


def _piece(shape, size):
    """The Piece of a shape, or in words why it is none. size: height and width of the image, or None."""
    kind = shape.get("shape_type") or "polygon"  # labelme's own default
    points = shape.get("points")
    points = [finite_numbers(p, lambda *_: None) for p in points] if isinstance(points, list) else []
    if not points or any(point is None or len(point) != 2 for point in points):
        return "its points are no pairs of numbers"
    if kind == "mask":
        return _mask(shape.get("mask"), points, size)
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        return Piece([left, top, right, top, right, bottom, left, bottom], True)
    if kind == "circle" and len(points) == 2:
        return Piece(_circle(*points))
    if kind in ("polygon", "rectangle", "oriented_rectangle"):
        flat = [number for point in points for number in point]
        return Piece(flat) if len(points) >= 3 else f"a {kind} of {len(points)} points"
    return f"a {shown_value(kind)}"


def _circle(centre, rim):
    radius = math.dist(centre, rim)
    angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
    return [n for angle in angles for n in (centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle))]


def _mask(text, points, size):
    """The Piece of a PNG in base64, whose upper left corner is the first point."""
    if size is None or not isinstance(text, str):
        return "a mask without its pixels or its image"
    if size[0] * size[1] > MAX_PIXELS:
        return "a mask of an image that is too large"
    try:
        part = numbers_of(base64.b64decode(text, validate=True)) != 0
    except (binascii.Error, ValueError, Unreadable) as error:
        return f"a mask that cannot be read: {error}"
    x, y = (round(number) for number in points[0])
    pixels = np.zeros(size, bool)
    if x < 0 or y < 0 or y + part.shape[0] > size[0] or x + part.shape[1] > size[1] or not part.any():
        return "a mask that is empty or reaches out of its image"
    pixels[y : y + part.shape[0], x : x + part.shape[1]] = part
    return Piece(None, pixels=pixels)


def _label(shape):
    label = shape.get("label") if isinstance(shape, dict) else None
    return label if isinstance(label, str) and label else None


def _read_all(folder):
    """All JSON files of a folder: name without suffix -> File, or the Unreadable that says why not."""
    found = {}
    for path in counted(list(walk(folder, (".json",))), f"reading {folder.name}"):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        try:
            found[stem] = _file(read_bytes(path))
        except Unreadable as error:
            found[stem] = error
    return found


def _file(data):
    try:
        content = json.loads(decoded(data, json.detect_encoding(data)))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no valid JSON: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise Unreadable("it is no file of labelme, which has a list of shapes")
    sides = [content.get("imageHeight"), content.get("imageWidth")]
    known = all(type(side) is int and 0 < side < 2**31 for side in sides)
    image = content.get("imagePath")
    return File(image if isinstance(image, str) else "", tuple(sides) if known else None, content["shapes"])
