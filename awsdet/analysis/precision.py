"""Precision over recall, and average precision (AP), of detections whose fate is known."""

import numpy as np
from pycocotools.cocoeval import Params

RECALLS = Params("bbox").recThrs  # the 101 recalls at which COCO reads the precision
ABSENT = -1.0


def class_curves(classes, scores, hit, objects) -> np.ndarray:
    """The precision of each class at RECALLS, as COCOeval computes it.

    Args:
      classes: int [D], classes of the detections that count; of equal scores the earlier one ranks first.
      scores: float [D].
      hit: bool [D], which of them are true positives.
      objects: int [K], the objects of each class that count.

    Returns:
      float64 [K, 101]; ABSENT for a class without objects.
    """
    order = np.lexsort((-scores, classes))
    hit = hit[order]
    limits = np.searchsorted(classes[order], np.arange(len(objects) + 1))
    curves = np.full((len(objects), len(RECALLS)), ABSENT)
    for k in np.flatnonzero(objects > 0).tolist():
        curves[k] = _curve(hit[limits[k] : limits[k + 1]], objects[k])
    return curves


def _curve(hit, objects):
    places = np.flatnonzero(hit)  # precision falls between true positives, so these give the envelope
    true = np.arange(1, len(places) + 1)
    envelope = np.maximum.accumulate((true / (places + 1 + np.spacing(1)))[::-1])[::-1]
    reached = np.searchsorted(true / objects, RECALLS, side="left")
    reached = reached[reached < len(envelope)]
    curve = np.zeros(len(RECALLS))
    curve[: len(reached)] = envelope[reached]
    return curve


def mean_of_classes(values) -> float:
    """The mean of the values of classes, float [K], that have objects; ABSENT if there is none."""
    there = values[values > ABSENT]
    return float(there.mean()) if there.size else ABSENT


def object_counts(pairs, num_classes: int) -> np.ndarray:
    """The objects of each class that are no crowd regions, int64 [K]."""
    return np.bincount(pairs.truth.classes[~pairs.crowd], minlength=num_classes)
