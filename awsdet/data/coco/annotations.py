"""Reads and checks COCO annotation files.

Terms: a *class* is a number 0 … C-1; a *category id* is the file's own number or name for it (see `ids`). Classes are
ordered by category id.
"""

import pathlib
from typing import NamedTuple

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.categories import read_categories
from awsdet.data.coco.ids import Lookup, is_int64, read_id, unused
from awsdet.data.coco.image_entries import ImageEntry, read_images
from awsdet.data.coco.json_file import read_json_file
from awsdet.data.coco.other_formats import name_of_content
from awsdet.runtime.errors import UserError

_JSON_TYPES = {dict: "an object", type(None): "null", str: "text"}

__all__ = ["CocoFile", "ImageEntry", "coco_of", "read_coco"]


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


def read_coco(path, anomalies, folder=None):
    """Reads and checks a COCO detection file. Returns a CocoFile; adds what it leaves out to `anomalies`.

    folder: that of the images, for files that name images by URLs alone (LVIS). Raises UserError if the file is
    missing, is not a COCO detection file, or has unusable categories or an image id of two files.
    """
    path = pathlib.Path(path)
    content, sha256 = read_json_file(path, anomalies)
    return coco_of(path, content, sha256, anomalies, folder)


def coco_of(path, content, sha256, anomalies, folder=None):
    """The CocoFile of the content of the annotation file `path`, which has this SHA-256; see `read_coco`."""
    what = name_of_content(content)
    if what is not None:
        raise UserError(f"annotation file {path} {what}")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise UserError(
                f"annotation file {path} has no list '{key}'{_instead(content, key)}; it must be a COCO detection file"
            )
    category_ids, class_names = read_categories(path, content["categories"], anomalies)
    images = read_images(path, content["images"], folder, anomalies)
    annotations = _group_annotations(content["annotations"], images, category_ids, anomalies)
    unplaced = len(content["annotations"]) - sum(map(len, annotations.values()))
    return CocoFile(class_names, category_ids, images, annotations, sha256, unplaced)


def _instead(content, key):
    """What a file has in place of the list `key`, in words that follow its name."""
    if key in content:
        return f" ('{key}' is {_JSON_TYPES.get(type(content[key]), 'a single value')})"
    return (
        f" (its keys: {', '.join(map(shown_value, list(content)[:6]))}{', …' * (len(content) > 6)})" if content else ""
    )


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
            anomalies.add("annotation_malformed", shown_value(annotation))
            continue
        name = f"annotation {shown_value(annotation.get('id'))}"
        image_id = _place(annotation, "image", places, name, anomalies)
        if image_id is None:
            continue
        category_id = _place(annotation, "category", places, name, anomalies)
        if category_id is None:
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
        anomalies.add(f"annotation_of_unknown_{kind}", f"{name} ({kind} {shown_value(value)})")
    elif not equal:
        anomalies.add("id_of_other_type", f"{name} ({kind} {shown_value(value)}, listed as {shown_value(found)})")
    return found


def _annotation_id(value):
    """An annotation's id as int64; None if it is none, and no string of digits that is one."""
    one = read_id(value)
    if isinstance(one, str) and len(one) < 20 and one.isascii() and one.isdigit() and str(int(one)) == one:
        one = int(one)
    return one if is_int64(one) else None
