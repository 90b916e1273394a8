"""Everything that is found out about a detector on a split, from ground truth and detections."""

from typing import NamedTuple

import numpy as np

from awsdet.analysis import breakdown, slices
from awsdet.analysis.calibration import Best, Calibration, best_score, calibration
from awsdet.analysis.confusion import Confusion, confusion
from awsdet.analysis.faults import suspects, worst_images
from awsdet.analysis.matching import Matches, match
from awsdet.analysis.pairs import Pairs, pair
from awsdet.analysis.tide import POSITIVE_IOU, Tide, tide
from awsdet.data.coco.categories import class_labels
from awsdet.evaluation.coco_metric import coco_metrics
from awsdet.evaluation.sides import Places, box_sides, mask_sides

DEFAULT_SCORE = 0.5  # if no detection is right, so that no score is the best


class Kind(NamedTuple):
    """What is found out about boxes, or about masks.

    Attributes:
      name: "box" or "mask".
      pairs: Pairs.
      matches: Matches at IoU 0.5.
      tide: Tide.
      curves: float64 [7, K, 101], see `breakdown`.
      best: Best, or None.
      score: of detections that count where only one score is looked at.
      confusion: Confusion at this score.
      calibration: Calibration, or None.
      by_size, by_crowding: rows of `slices`.
      worst: list of faults.Image.
      suspects: kind -> list of faults.Suspect.
    """

    name: str
    pairs: Pairs
    matches: Matches
    tide: Tide
    curves: np.ndarray
    best: Best | None
    score: float
    confusion: Confusion
    calibration: Calibration | None
    by_size: list
    by_crowding: list
    worst: list
    suspects: dict


class Report(NamedTuple):
    """A detector on a split.

    Attributes:
      labels: K names of the classes, in the order of the numbers in Pairs.
      supercategories: of each class; "" for none.
      image_ids, file_names: in the ground truth, in the order of the numbers in Pairs.
      metrics: of `coco_metrics`.
      kinds: list of Kind: boxes, and masks if there are any.
      ground_truth, results: what it is made of.
    """

    labels: tuple
    supercategories: tuple
    image_ids: list
    file_names: list
    metrics: dict
    kinds: list
    ground_truth: dict
    results: list


def analyse(ground_truth, results, with_masks, score=None) -> Report:
    """The Report of detections.

    Args:
      ground_truth: COCO dict; categories may have a supercategory.
      results: list of dicts, as `coco_metrics` takes them.
      with_masks: whether to look at masks, too.
      score: see Kind; None: where F1 is best.
    """
    place = Places(ground_truth)
    by_id = {category["id"]: category for category in ground_truth["categories"]}
    names = [str(by_id[one]["name"]) for one in place.categories]
    labels = class_labels(names, place.categories)
    parents = tuple(str(by_id[one].get("supercategory") or "") for one in place.categories)
    counts = len(place.images), len(place.categories)
    sides = [("box", box_sides)] + ([("mask", mask_sides)] if with_masks else [])
    kinds = [_kind(name, make(place, results), *counts, parents, score) for name, make in sides]
    metrics = coco_metrics(ground_truth, results, with_masks)
    files = {image["id"]: str(image.get("file_name", "")) for image in ground_truth["images"]}
    file_names = [files[one] for one in place.images]
    return Report(labels, parents, place.images, file_names, metrics, kinds, ground_truth, results)


def _kind(name, sides, num_images, num_classes, parents, score):
    pairs = pair(sides)
    matches = match(pairs, POSITIVE_IOU)
    kinds = tide(pairs, matches, num_classes)
    best = best_score(pairs.scores, matches, int((~pairs.crowd).sum()))
    if score is None:
        score = best.score if best else DEFAULT_SCORE
    return Kind(
        name=name,
        pairs=pairs,
        matches=matches,
        tide=kinds,
        curves=breakdown.breakdown(pairs, matches, num_classes, breakdown.groups_of(parents)),
        best=best,
        score=score,
        confusion=confusion(pairs, matches, num_classes, score, POSITIVE_IOU),
        calibration=calibration(pairs.scores, matches),
        by_size=slices.by_size(pairs, matches, score),
        by_crowding=slices.by_crowding(pairs, matches, num_images, num_classes, score),
        worst=worst_images(pairs, matches, kinds, score),
        suspects=suspects(pairs, matches, kinds, score),
    )
