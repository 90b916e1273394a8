"""Reads and checks COCO annotation files, and cleans the annotations of each image.

Terms: a *class* is a number 0 … C-1; a *category id* is the file's own number for it, which may be any integer. Classes
are ordered by category id. Coordinates are pixels of the image as it is stored; 0 is its left and its top edge.
"""

import collections
import hashlib
import json
import math
import pathlib
from typing import NamedTuple

import numpy as np

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file

CLIP_TOLERANCE = 1.0  # px that a box may reach out of the image without being counted: tools round by as much
MIN_SIDE = 1.0  # px of the original image; smaller boxes are not trained on (mmdetection's rule)


class ImageEntry(NamedTuple):
    """One image of the annotation file; height and width are 0 if the file does not give them."""

    id: int
    file_name: str
    height: int
    width: int


class CocoFile(NamedTuple):
    """What an annotation file holds: classes, images in its order, and the raw annotations by image id."""

    class_names: tuple
    category_ids: tuple
    images: list
    annotations: dict
    sha256: str


class Annotation(NamedTuple):
    """A cleaned annotation. Its numbers are the file's own, as float64, so that COCOeval gives the same results.

    bbox: x, y, width, height. polygons: list of flat coordinate lists; counts: COCO run lengths (column-major, zeros
    first) or None. An object without a mask has no polygons, and its counts are None. trainable: False for boxes
    that are kept for evaluation only. order: the place among the image's annotations in the file.
    """

    id: int
    class_index: int
    bbox: tuple
    area: float
    is_crowd: bool
    polygons: list
    counts: list
    trainable: bool
    order: int


def read_coco(path, anomalies):
    """Reads and checks a COCO detection file. Returns a CocoFile; adds what it leaves out to `anomalies`.

    Raises UserError if the file is missing, is not a COCO detection file, or has unusable categories.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"annotation file {path} {why_no_file(path)}")
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except ValueError as error:
        raise UserError(f"annotation file {path} is not valid JSON: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"annotation file {path} has no list '{key}'; it must be a COCO detection file")
    category_ids, class_names = _read_categories(path, content["categories"], anomalies)
    images = _read_images(content["images"], anomalies)
    annotations = _group_annotations(content["annotations"], images, category_ids, anomalies)
    return CocoFile(class_names, category_ids, images, annotations, hashlib.sha256(data).hexdigest())


def _read_categories(path, categories, anomalies):
    names = {}
    for category in categories:
        number = _integer(category.get("id")) if isinstance(category, dict) else None
        if number is None:
            raise UserError(f"annotation file {path}: category {category} has no integer id")
        if number in names:
            raise UserError(f"annotation file {path}: category id {number} is used twice")
        names[number] = str(category.get("name", number))
    if not names:
        raise UserError(f"annotation file {path} has no categories")
    ids = tuple(sorted(names))
    class_names = tuple(names[number] for number in ids)
    for name, count in collections.Counter(class_names).items():
        if count > 1:
            same = ", ".join(str(number) for number in ids if names[number] == name)
            anomalies.add("category_name", f"{name} (ids {same})")
    return ids, class_names


def _read_images(entries, anomalies):
    images = {}
    for entry in entries:
        entry = entry if isinstance(entry, dict) else {}
        number, name = _integer(entry.get("id")), entry.get("file_name")
        if number is None or not isinstance(name, str) or not name:
            anomalies.add("image_malformed", f"id {entry.get('id')}, file name {name}")
        elif number in images:
            anomalies.add("image_duplicate", f"id {number} ({name})")
        else:
            images[number] = ImageEntry(
                number, name, _integer(entry.get("height")) or 0, _integer(entry.get("width")) or 0
            )
    return list(images.values())


def _group_annotations(annotations, images, category_ids, anomalies):
    """Annotations by image id, without those of unknown images and categories; each gets a unique id that is not 0."""
    groups = {image.id: [] for image in images}
    known = set(category_ids)
    ids = [_integer(a.get("id")) if isinstance(a, dict) else None for a in annotations]
    fresh = max((i for i in ids if i is not None), default=0) + 1
    uses = collections.Counter()
    for annotation, number in zip(annotations, ids):
        name = f"annotation {number}"
        if not isinstance(annotation, dict):
            anomalies.add("annotation_malformed", str(annotation)[:40])
            continue
        image_id, category_id = _integer(annotation.get("image_id")), _integer(annotation.get("category_id"))
        if image_id not in groups:
            anomalies.add("annotation_of_unknown_image", f"{name} (image {annotation.get('image_id')})")
            continue
        if category_id not in known:
            anomalies.add("annotation_of_unknown_category", f"{name} (category {annotation.get('category_id')})")
            continue
        uses[number] += 1
        if not number or uses[number] > 1:  # to COCOeval the id 0 means "unmatched"
            anomalies.add("annotation_id", f"{name} -> {fresh}")
            number, fresh = fresh, fresh + 1
        groups[image_id].append({**annotation, "id": number, "category_id": category_id})
    return groups


def clean_annotations(raw, height, width, classes, anomalies):
    """Cleans the annotations of one image of `height` x `width` px.

    raw: dicts of a CocoFile; classes: category id -> class. Returns Annotations in the order of the records: objects,
    then crowds, then annotations for evaluation only.
    """
    cleaned = []
    for order, annotation in enumerate(raw):
        name = f"annotation {annotation['id']} (image {annotation['image_id']})"
        bbox = _numbers(annotation.get("bbox"))
        if bbox is None or len(bbox) != 4:
            anomalies.add("annotation_malformed", name)
            continue
        mask = _read_mask(annotation.get("segmentation"), height, width, name, anomalies)
        if mask is None:
            continue
        polygons, counts = mask
        cleaned.append(
            Annotation(
                id=annotation["id"],
                class_index=classes[annotation["category_id"]],
                bbox=tuple(bbox),
                area=_area(annotation, bbox, polygons, counts, name, anomalies),
                is_crowd=annotation.get("iscrowd") in (1, True, "1"),
                polygons=polygons,
                counts=counts,
                trainable=_is_trainable(bbox, height, width, name, anomalies),
                order=order,
            )
        )
    return sorted(cleaned, key=lambda a: (not a.trainable, a.is_crowd))


def _is_trainable(bbox, height, width, name, anomalies):
    x, y, w, h = bbox
    inside_w = min(x + w, width) - max(x, 0.0)
    inside_h = min(y + h, height) - max(y, 0.0)
    if inside_w < MIN_SIDE or inside_h < MIN_SIDE:
        anomalies.add("box_degenerate", name)
        return False
    if max(-x, -y, x + w - width, y + h - height) > CLIP_TOLERANCE:
        anomalies.add("box_clipped", name)
    return True


def _read_mask(segmentation, height, width, name, anomalies):
    """(polygons, counts) of an annotation; None if the object must be left out."""
    if segmentation is None or segmentation == [] or segmentation == {}:
        anomalies.add("mask_absent", name)
        return [], None
    if isinstance(segmentation, dict):
        counts = _read_counts(segmentation, height, width)
        if counts is None:
            anomalies.add("rle_invalid", name)
            return None
        return [], counts
    if not isinstance(segmentation, list):
        anomalies.add("annotation_malformed", name)
        return None
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]  # a flat list is one polygon
    polygons = []
    for part in parts:
        numbers = _numbers(part)
        if numbers is None or len(numbers) < 6 or len(numbers) % 2:
            anomalies.add("polygon_short", name)
        else:
            polygons.append(numbers)
    if not polygons:
        anomalies.add("polygon_none_left", name)
        return None
    return polygons, None


def _read_counts(rle, height, width):
    """Run lengths of a COCO RLE dict, compressed or not; None if they do not fit a height x width mask."""
    counts = rle.get("counts")
    try:
        if isinstance(counts, str):
            counts = decompress_counts(counts)
        counts = [_integer(count) for count in counts]
        size = [_integer(side) for side in rle.get("size")]
        fits = size == [height, width] and min(counts, default=-1) >= 0 and sum(counts) == height * width
    except (TypeError, ValueError, IndexError):
        return None
    return counts if fits else None


def decompress_counts(text):
    """Run lengths from COCO's compressed text, which holds 5 bits per character, lowest bits first.

    From the third run on, the text gives each run as its difference from the run two places before it. Raises
    ValueError for an invalid character and for a text that ends within a number.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in a compressed RLE")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("a compressed RLE ends within a number")
    return counts


def run_lengths(mask):
    """COCO run lengths of a bool [H, W] mask: column-major, zeros first."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    return np.diff(edges, prepend=0).tolist()


def _area(annotation, bbox, polygons, counts, name, anomalies):
    area = _numbers([annotation.get("area")])
    if area is not None:
        return area[0]
    anomalies.add("area_absent", name)
    if polygons:
        return sum(abs(_polygon_area(polygon)) for polygon in polygons)
    return float(sum(counts[1::2])) if counts else bbox[2] * bbox[3]


def _polygon_area(polygon):
    xs, ys = polygon[0::2], polygon[1::2]
    return 0.5 * sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))


def _numbers(values):
    """Finite floats, or None if `values` is not a list of finite numbers."""
    if not isinstance(values, (list, tuple)):
        return None
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _integer(value):
    """An int from an int, a whole float or a string of digits; None from anything else."""
    try:
        return int(value) if int(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None
