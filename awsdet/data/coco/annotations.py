"""Reads and checks COCO annotation files, and cleans the annotations of each image.

Terms: a *class* is a number 0 … C-1; a *category id* is the file's own number or name for it (see `ids`). Classes are
ordered by category id. Coordinates are pixels of the image as it is stored; 0 is its left and its top edge.
"""

import math
import pathlib
from typing import NamedTuple

import numpy as np

from awsdet.data.coco.anomalies import shown
from awsdet.data.coco.categories import read_categories
from awsdet.data.coco.ids import INT64, Lookup, read_id, unused
from awsdet.data.coco.image_entries import ImageEntry, read_images
from awsdet.data.coco.json_file import read_json_file
from awsdet.data.coco.other_formats import name_of_content
from awsdet.runtime.errors import UserError

__all__ = ["Annotation", "CocoFile", "ImageEntry", "clean_annotations", "decompress_counts", "read_coco", "run_lengths"]

CLIP_TOLERANCE = 1.0  # px that a box may reach out of the image without being counted: tools round by as much
MIN_SIDE = 1.0  # px of the original image; smaller boxes are not trained on (mmdetection's rule)


class CocoFile(NamedTuple):
    """What an annotation file holds: classes, images in its order, and the raw annotations by (int64) image id.

    category_ids: the file's own, ints or strings, in the order of the classes. unplaced: how many of the file's
    annotations belong to no image or no category, or are no annotations at all.
    """

    class_names: tuple
    category_ids: tuple
    images: list
    annotations: dict
    sha256: str
    unplaced: int


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


def read_coco(path, anomalies, folder=None):
    """Reads and checks a COCO detection file. Returns a CocoFile; adds what it leaves out to `anomalies`.

    folder: that of the images, for files that name images by URLs alone (LVIS). Raises UserError if the file is
    missing, is not a COCO detection file, or has unusable categories or an image id of two files.
    """
    path = pathlib.Path(path)
    content, sha256 = read_json_file(path, anomalies)
    what = name_of_content(content)
    if what is not None:
        raise UserError(f"annotation file {path} {what}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise UserError(f"annotation file {path} has no list '{key}'; it must be a COCO detection file")
    category_ids, class_names = read_categories(path, content["categories"], anomalies)
    images = read_images(path, content["images"], folder, anomalies)
    annotations = _group_annotations(content["annotations"], images, category_ids, anomalies)
    unplaced = len(content["annotations"]) - sum(map(len, annotations.values()))
    return CocoFile(class_names, category_ids, images, annotations, sha256, unplaced)


def _group_annotations(annotations, images, category_ids, anomalies):
    """Annotations by image id, without those of unknown images and categories; each gets a unique id that is not 0."""
    groups, numbers = {image.id: [] for image in images}, {image.source_id: image.id for image in images}
    places = {
        "image": Lookup(numbers, (a.get("image_id") for a in annotations if isinstance(a, dict))),
        "category": Lookup(category_ids, (a.get("category_id") for a in annotations if isinstance(a, dict))),
    }
    ids = [_annotation_id(a.get("id")) if isinstance(a, dict) else None for a in annotations]
    fresh = unused({number for number in ids if number}, len(ids))
    used = {0, None}  # to COCOeval the id 0 means "unmatched"
    for annotation, number in zip(annotations, ids):
        if not isinstance(annotation, dict):
            anomalies.add("annotation_malformed", shown(annotation))
            continue
        name = f"annotation {shown(annotation.get('id'))}"
        image_id, category_id = (_place(annotation, kind, places, name, anomalies) for kind in ("image", "category"))
        if image_id is None or category_id is None:
            continue
        if number in used:
            number = next(fresh)
            anomalies.add("annotation_id", f"{name} -> {number}")
        used.add(number)
        groups[numbers[image_id]].append({**annotation, "id": number, "category_id": category_id})
    return groups


def _place(annotation, kind, places, name, anomalies):
    """The listed id of an annotation's image or category (`kind`), or None; counts what is not simply equal."""
    value = annotation.get(f"{kind}_id")
    found, equal = places[kind].find(value)
    if found is None:
        anomalies.add(f"annotation_of_unknown_{kind}", f"{name} ({kind} {shown(value)})")
    elif not equal:
        anomalies.add("id_of_other_type", f"{name} ({kind} {shown(value)}, listed as {shown(found)})")
    return found


def _annotation_id(value):
    """An annotation's id as int64; None if it is none, and no string of digits that is one."""
    one = read_id(value)
    if isinstance(one, str) and len(one) < 20 and one.isascii() and one.isdigit() and str(int(one)) == one:
        one = int(one)
    return one if isinstance(one, int) and one in INT64 else None


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
