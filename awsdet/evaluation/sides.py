"""Ground truth and results of COCO as arrays, with images and categories numbered in the order of their ids."""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.data.coco.ids import in_order
from awsdet.data.coco.rle import to_rle
from awsdet.evaluation.coco_scores import Objects
from awsdet.runtime.errors import UserError

_DECODED = 128  # masks whose decoded runs are in memory at the same time


class Sides(NamedTuple):
    """The first four arguments of `coco_scores.score`: G objects of the ground truth and D detections."""

    truth: Objects
    crowd: np.ndarray  # bool [G]
    found: Objects
    scores: np.ndarray  # float64 [D]


class Places:
    """The positions of images and categories when sorted by id, as COCOeval sorts them."""

    def __init__(self, ground_truth):
        self.images = in_order({image["id"] for image in ground_truth["images"]})
        self.categories = in_order({category["id"] for category in ground_truth["categories"]})
        self.sizes = {image["id"]: (image.get("height"), image.get("width")) for image in ground_truth["images"]}
        self._image = {number: i for i, number in enumerate(self.images)}
        self._category = {number: i for i, number in enumerate(self.categories)}
        self.annotations = [a for a in ground_truth["annotations"] if a["image_id"] in self._image]
        self.crowd = np.array([bool(a.get("iscrowd", 0)) for a in self.annotations], bool)
        self.areas = np.array([a["area"] for a in self.annotations], np.float64)

    def objects(self, entries, areas, shapes):
        """Makes Objects from dicts with image_id and category_id. Raises ValueError if an image does not exist."""
        unknown = {e["image_id"] for e in entries} - self._image.keys()
        if unknown:
            raise ValueError(f"results for images that the ground truth does not have: ids {sorted(unknown)[:5]}")
        images = np.array([self._image[e["image_id"]] for e in entries], np.int64)
        classes = np.array([self._category[e["category_id"]] for e in entries], np.int64)
        return Objects(images, classes, areas, shapes)

    def sides(self, results, truth, found, areas, scores):
        """The Sides of results with the shapes `found`, their areas and scores; `truth`: shapes of the annotations."""
        true, detected = self.objects(self.annotations, self.areas, truth), self.objects(results, areas, found)
        return Sides(true, self.crowd, detected, scores)


def box_sides(place, results):
    """The Sides of boxes: `place` is Places of the ground truth, `results` a list of dicts as `coco_metrics` takes."""
    truth = np.array([a["bbox"] for a in place.annotations], np.float64).reshape(-1, 4)
    found = np.array([r["bbox"] for r in results], np.float64).reshape(-1, 4)
    scores = np.array([r["score"] for r in results], np.float64)
    areas = found[:, 2] * found[:, 3]
    return place.sides(results, truth, found, areas, scores)


def mask_sides(place, results):
    """The Sides of masks, as `box_sides`. Raises UserError for a true mask that does not fit its image."""
    truth = [_true_mask(a, place.sizes[a["image_id"]]) for a in place.annotations]
    found = [r["segmentation"] for r in results]
    scores = np.array([r.get("mask_score", r["score"]) for r in results], np.float64)
    # In parts, because decoded runs are large.
    parts = [coco_mask.area(found[i : i + _DECODED]) for i in range(0, len(found), _DECODED)]
    areas = np.concatenate([np.zeros(0), *parts])
    return place.sides(results, truth, found, areas, scores)


def _true_mask(annotation, size):
    try:
        return to_rle(annotation["segmentation"], size)
    except (ValueError, OverflowError) as error:
        name = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
        raise UserError(f"the mask of {name} cannot be used: {error}; convert the annotations again") from None
