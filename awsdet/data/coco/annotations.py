"""Reads and checks COCO annotation files.

Terms: a *class* is a number 0 … C-1; a *category id* is the file's own number for it, which may be any integer. Classes
are ordered by category id.
"""

import collections
import hashlib
import json
import pathlib
from typing import NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file


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


def _integer(value):
    """An int from an int, a whole float or a string of digits; None from anything else."""
    try:
        return int(value) if int(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None
