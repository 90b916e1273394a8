"""Reads detections in COCO's results format, whoever wrote them, and checks them against the ground truth."""

import json
import math
import pathlib

from absl import logging
from pycocotools import mask as coco_mask

from awsdet.data.coco.ids import read_id
from awsdet.data.coco.rle import to_rle
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file

_CURE = "give a file in COCO's results format, as awsdet evaluate --output writes it"


def read_results(path, ground_truth, numbers=None) -> list:
    """The detections of a file, as `coco_metrics` takes them: all have a bbox, and all or none a segmentation.

    Args:
      path: JSON file, a list of {"image_id", "category_id", "score", "bbox" and/or "segmentation"}. Without a bbox, the
        box is that of the mask, as in pycocotools. A mask_score is kept.
      ground_truth: COCO dict of the images and categories; detections of other images are refused, those of other
        categories left out, as in pycocotools, and counted in the log.
      numbers: image id in the file -> image id in the ground truth; None: they are the same.

    Raises UserError, which names the entry.
    """
    entries = _entries(path)
    sizes = {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}
    numbers = {one: one for one in sizes} if numbers is None else numbers
    categories = {category["id"] for category in ground_truth["categories"]}
    results, foreign = [], set()
    for index, entry in enumerate(entries):
        try:
            found = _checked(entry, numbers, sizes)
        except ValueError as error:
            raise UserError(f"results {path}: entry {index} {error}") from None
        if found["category_id"] in categories:
            results.append(found)
        else:
            foreign.add(found["category_id"])
    if entries and not results:
        raise UserError(
            f"results {path}: none of its categories (such as id {min(foreign, key=str)}) are those of the records; "
            "give results of the same data set"
        )
    if foreign:
        left_out = len(entries) - len(results)
        logging.warning(
            "%d of %d detections in %s have categories that the records do not have, such as id %s; they do not count",
            *(left_out, len(entries), path, min(foreign, key=str)),
        )
    masks = sum("segmentation" in one for one in results)
    if 0 < masks < len(results):
        raise UserError(f"results {path}: only {masks} of {len(results)} detections have a segmentation; {_CURE}")
    return results


def _entries(path):
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"results {path} {why_no_file(path)}; {_CURE}")
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"results {path} cannot be read as JSON: {error}; {_CURE}") from None
    if not isinstance(entries, list):
        kind = "the output of awsdet predict, or an annotation file" if isinstance(entries, dict) else "no list"
        raise UserError(f"results {path} is {kind}; {_CURE}")
    return entries


def _checked(entry, numbers, sizes):
    """The entry as it is used. Raises ValueError: the rest of a sentence about it."""
    if not isinstance(entry, dict):
        raise ValueError(f"is {entry!r:.60}; {_CURE}")
    image, category = read_id(entry.get("image_id")), read_id(entry.get("category_id"))
    if image not in numbers:
        raise ValueError(f"has image_id {entry.get('image_id')!r:.60}, which the records do not have; give their split")
    if category is None:
        raise ValueError(f"has category_id {entry.get('category_id')!r:.60}; it must be a whole number or a string")
    image = numbers[image]
    found = {"image_id": image, "category_id": category, "score": _number(entry, "score")}
    if "mask_score" in entry:
        found["mask_score"] = _number(entry, "mask_score")
    if entry.get("segmentation") is not None:
        found["segmentation"] = _mask(entry["segmentation"], sizes[image])
    found["bbox"] = _box(entry, found.get("segmentation"))
    return found


def _number(entry, key):
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"has {key} {value!r:.60}; it must be a number")
    return float(value)


def _box(entry, mask):
    box = entry.get("bbox")
    if box is None and mask is not None:
        return coco_mask.toBbox(mask).tolist()
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"has bbox {box!r:.60}; it must be [x, y, width, height]")
    return [_number({"bbox": value}, "bbox") for value in box]


def _mask(segmentation, size):
    try:
        return to_rle(segmentation, size)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"has a segmentation that does not fit its image ({error}); {_CURE}") from None
