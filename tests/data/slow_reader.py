"""A slow, obvious reader of COCO files, written from the rules of docs/data.md and sharing no code with awsdet.

It says what the records of a file must hold. Numbers are exact fractions where that matters; nothing is fast.
"""

import re
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask


class Expected(NamedTuple):
    """What a record must hold of an annotation.

    id: None if a new one must be given. polygons: lists of (x, y); pixels: bool [H, W] of an RLE; both None without a
    mask. order: its place among the annotations of its image.
    """

    id: int | None
    category: object
    box: tuple
    area: float
    is_crowd: bool
    trainable: bool
    polygons: list | None
    pixels: np.ndarray | None
    order: int


def read(content, sizes):
    """({image id of the file: list of Expected, in record order}, {category id: name}).

    content: of a JSON file; sizes: file name -> (height, width) of the images that exist.
    """
    names = {}
    for category in content["categories"]:
        one = identity(category["id"])
        names[one] = category["name"] if category["name"].strip() else str(one)
    listed = {identity(image["id"]): image for image in reversed(content["images"])}
    listed = {identity(image["id"]): listed[identity(image["id"])] for image in content["images"]}
    groups = {one: [] for one in listed}
    annotations = [a for a in content["annotations"] if isinstance(a, dict)]
    used = set()
    for annotation in annotations:
        image = meant(annotation.get("image_id"), listed, [a.get("image_id") for a in annotations])
        category = meant(annotation.get("category_id"), names, [a.get("category_id") for a in annotations])
        if image is None or category is None:
            continue
        number = annotation_id(annotation.get("id"))
        fresh = number in (None, 0) or number in used
        used.add(number)
        groups[image].append((None if fresh else number, category, annotation))
    result = {}
    for one, image in listed.items():
        size = sizes.get(image["file_name"])
        given = tuple(side(image.get(name)) for name in ("height", "width"))
        if size is None or (all(given) and given != size):
            continue
        found = [expected(*entry, order, *size) for order, entry in enumerate(groups[one])]
        found = [one for one in found if one is not None]
        parts = [(trainable, is_crowd) for trainable in (True, False) for is_crowd in (False, True)]
        result[one] = [e for part in parts for e in found if (e.trainable, e.is_crowd) == part]
    return result, names


# ------------------------------------------------------------------------------------------------------------------ ids


def identity(value):
    """The id that a value stands for, or None."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value == value and abs(value) < 2**53 and value % 1 == 0 else None
    return value if type(value) is str and value != "" else None


def as_number(one):
    """The whole number that an id reads as, or None."""
    if type(one) is str:
        return int(one) if re.fullmatch("-?[0-9]+", one) else None
    return one


def meant(value, listed, references):
    """The listed id that a value means, or None."""
    one = identity(value)
    for other in listed:
        if type(other) is type(one) and other == one:
            return other
    number = as_number(one) if one is not None else None
    if number is None:
        return None
    alike = [other for other in listed if as_number(other) == number]
    spellings = set()
    for reference in references:
        other = identity(reference)
        unlisted = not any(type(other) is type(one) and other == one for one in listed)
        if other is not None and unlisted and as_number(other) == number:
            spellings.add((type(other), other))
    return alike[0] if len(alike) == 1 and len(spellings) == 1 else None


def annotation_id(value):
    """The int64 that an annotation's id is, or None."""
    one = identity(value)
    if type(one) is str and re.fullmatch("0|[1-9][0-9]*", one):
        one = int(one)
    return one if type(one) is int and -(2**63) <= one < 2**63 else None


def side(value):
    """A side of an image in pixels; 0 if the file does not say."""
    if type(value) is str and re.fullmatch("[0-9]+", value):
        value = int(value)
    if type(value) is float and value % 1 == 0:
        value = int(value)
    return value if type(value) is int and 0 < value < 2**31 else 0


# ------------------------------------------------------------------------------------------------------- one annotation


def expected(number, category, annotation, order, height, width):
    """The Expected of an annotation, or None if it is left out."""
    polygons, pixels = mask_of(annotation.get("segmentation"), height, width)
    bounds = bounds_of(polygons, pixels)
    seen = within(bounds, height, width) if bounds else None
    if seen is None:
        polygons = pixels = bounds = None
    box = numbers(annotation.get("bbox"))
    box = box if box is not None and len(box) == 4 else None
    if box is None and seen is None:
        box = nested_box(annotation.get("bbox"))
        if box is None:
            return None
    if box is not None:
        box = near(box, height, width)
        corners = (box[0], box[1], total(box[0], box[2]), total(box[1], box[3]))
        shares = all(0 <= n <= 1 for n in box)
        if seen is not None:
            large = seen[2] - seen[0] >= 1 and seen[3] - seen[1] >= 1
            if within(corners, height, width) is None or (shares and large and iou(corners, seen) < Fraction(3, 10)):
                box = None
    if box is None:
        box = (seen[0], seen[1], seen[2] - seen[0], seen[3] - seen[1])
    x, y, w, h = box
    inside = min(total(x, w), width) - max(x, 0) >= 1 and min(total(y, h), height) - max(y, 0) >= 1
    area = number_of(annotation.get("area"))
    if area is None or not 0 <= area <= 9 * height * width:
        area = area_of(polygons, pixels) if bounds else max(w, 0) * max(h, 0)
    return Expected(
        number,
        category,
        tuple(map(float, box)),
        float(area),
        crowd(annotation.get("iscrowd")),
        inside,
        polygons,
        pixels,
        order,
    )


def number_of(value):
    """An exact number from a finite JSON number or from text; None from anything else."""
    if type(value) is str and re.fullmatch(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", value):
        value = float(value)
    if type(value) not in (int, float) or value != value or abs(value) > 1.7e308:
        return None
    return Fraction(float(value))


def numbers(values):
    """A tuple of exact numbers from a list of numbers; None from anything else."""
    if type(values) is not list:
        return None
    found = tuple(number_of(value) for value in values)
    return None if None in found else found


def nested_box(value):
    while type(value) is list and len(value) == 1:
        value = value[0]
    box = numbers(value)
    return box if box is not None and len(box) == 4 else None


def near(box, height, width):
    """The box, cut one image size beyond the image on each side."""
    x, y, w, h = box
    if all(-width <= n <= 2 * width for n in (x, x + w)) and all(-height <= n <= 2 * height for n in (y, y + h)):
        return box
    left, right = (min(max(n, -width), 2 * width) for n in (x, x + w))
    top, bottom = (min(max(n, -height), 2 * height) for n in (y, y + h))
    return left, top, right - left, bottom - top


def total(start, length):
    """Their sum as float64 has it: a length of 1e-300 is nothing beside 35."""
    return Fraction(float(start) + float(length))


def within(bounds, height, width):
    """The part of (left, top, right, bottom) inside the image; None if it has no area."""
    left, top, right, bottom = bounds
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def iou(one, other):
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return Fraction(0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return Fraction(across * down) / (sum(areas) - across * down)


def crowd(value):
    if value is None or (type(value) is str and value in ("0", "false", "False")):
        return False
    if type(value) is bool:
        return value
    if type(value) is str and value in ("1", "true", "True"):
        return True
    number = number_of(value)
    return number is not None and number != 0


# ---------------------------------------------------------------------------------------------------------------- masks


def mask_of(segmentation, height, width):
    """(polygons as lists of points, bool [H, W] of run lengths); both None without a mask."""
    polygons, codes = [], []
    for kind, value in parts_of(segmentation):
        if kind == "polygon":
            points = polygon_of(value, height, width)
            polygons += [points] if points else []
        else:
            pixels = pixels_of(value, height, width)
            codes += [pixels] if pixels is not None else []
    if not codes:
        return (polygons, None) if any(not flat(points) for points in polygons) else (None, None)
    pixels = np.logical_or.reduce(codes)
    if polygons:
        lists = [[float(n) for point in points for n in point] for points in polygons]
        drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(lists, height, width)))
        pixels = pixels | drawn.astype(bool)
    return (None, pixels) if pixels.any() else (None, None)


def parts_of(value):
    """Yields ("polygon", list) and ("rle", dict) for what a segmentation holds."""
    if isinstance(value, dict):
        if "counts" in value:
            yield "rle", value
    elif isinstance(value, list) and value:
        if not any(isinstance(item, list | dict) for item in value):
            yield "polygon", value
        elif all(is_point(item) for item in value):
            pairs = [(item["x"], item["y"]) if isinstance(item, dict) else item for item in value]
            yield "polygon", [n for pair in pairs for n in pair]
        else:
            for item in value:
                yield from parts_of(item)


def is_point(item):
    if isinstance(item, dict):
        return "x" in item and "y" in item
    return isinstance(item, list) and len(item) == 2 and not isinstance(item[0], list | dict)


def polygon_of(values, height, width):
    """The points of a polygon, cut one image size beyond the image; None if it is none or nothing of it is left."""
    flat_list = numbers(values)
    if flat_list is None or len(flat_list) < 6 or len(flat_list) % 2:
        return None
    points = list(zip(flat_list[0::2], flat_list[1::2]))
    for axis, sign, limit in ((0, -1, -width), (0, 1, 2 * width), (1, -1, -height), (1, 1, 2 * height)):
        if all(sign * point[axis] <= sign * limit for point in points):
            continue
        kept = []
        for start, end in zip([points[-1], *points[:-1]], points):
            starts_in, ends_in = (sign * point[axis] <= sign * limit for point in (start, end))
            if starts_in != ends_in:
                share = (limit - start[axis]) / (end[axis] - start[axis])
                kept.append(tuple(a + share * (b - a) for a, b in zip(start, end)))
            if ends_in:
                kept.append(end)
        points = kept
        if not points:
            return None
    rounded = [tuple(Fraction(float(n)) for n in point) for point in points]  # records hold float64
    return rounded if len(rounded) >= 3 else None


def flat(points):
    """Whether all points lie on one line."""
    x0, y0 = points[0]
    vectors = [(x - x0, y - y0) for x, y in points]
    return all(ax * by == ay * bx for ax, ay in vectors for bx, by in vectors)


def pixels_of(code, height, width):
    """bool [H, W] of run lengths of any form; None if they do not fit the image."""
    counts, size = code.get("counts"), code.get("size")
    if type(size) is not list or size != [height, width]:
        return None
    if type(counts) is str:
        printed = re.fullmatch("b'(.*)'", counts)
        text = printed[1] if printed else counts
        runs = uncompressed(text)
        if runs is None or sum(runs) != height * width:
            runs = [int(n) for n in text.split()] if re.fullmatch(r"[0-9]+(\s+[0-9]+)*", text.strip()) else None
    else:
        runs = counts if type(counts) is list else None
    if not runs or any(type(run) is not int or run < 0 for run in runs) or sum(runs) != height * width:
        return None
    flags = [place % 2 == 1 for place, run in enumerate(runs) for _ in range(run)]
    return np.array(flags, bool).reshape(width, height).T


def uncompressed(text):
    """Run lengths from COCO's text: base 32 digits with a sign, from the third on as differences."""
    runs, digits = [], []
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            return None
        digits.append(code % 32)
        if code < 32:
            value = sum(digit * 32**place for place, digit in enumerate(digits))
            value -= 32 ** len(digits) if digits[-1] >= 16 else 0
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            digits = []
    return None if digits else runs


def bounds_of(polygons, pixels):
    if pixels is not None:
        rows, columns = np.nonzero(pixels)
        return tuple(map(int, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)))
    if polygons is None:
        return None
    xs, ys = ([point[axis] for points in polygons for point in points] for axis in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def area_of(polygons, pixels):
    if pixels is not None:
        return int(pixels.sum())
    return sum(
        abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, [*points[1:], points[0]]))) / 2 for points in polygons
    )
