"""Whether scores mean what they say: of detections with a score of 0.8, 80 % should be right."""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.matching import Matches

BINS = 10


class Calibration(NamedTuple):
    """The reliability of scores in bins of equal width, 0 to 1.

    Attributes:
      counts: int64 [10], detections in each bin.
      confidence: float64 [10], their mean score; 0 in an empty bin.
      accuracy: float64 [10], the share of true positives; 0 in an empty bin.
      ece: expected calibration error, the mean distance of the two over all detections.
      mce: the largest distance of a bin.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float
    mce: float


def calibration(scores, matches: Matches) -> Calibration | None:
    """The Calibration of detections; those that are ignored do not count. None if scores are not all within 0 to 1."""
    scores, hit = scores[matches.counted], matches.hit[matches.counted]
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        return None
    place = np.minimum((scores * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    some = np.maximum(counts, 1)
    confidence, accuracy = (np.bincount(place, weights=w, minlength=BINS) / some for w in (scores, hit))
    distance = np.abs(confidence - accuracy)
    ece = float((distance * counts).sum() / max(counts.sum(), 1))
    return Calibration(counts, confidence, accuracy, ece, float(distance.max()))


class Best(NamedTuple):
    """The score from which on detections together have the best F1, and precision, recall and F1 there."""

    score: float
    precision: float
    recall: float
    f1: float


def best_score(scores, matches: Matches, objects: int) -> Best | None:
    """The Best of all classes together; None if nothing was found. objects: how many there are."""
    counted = matches.counted
    order = np.argsort(-scores[counted], kind="stable")
    sorted_scores, hit = scores[counted][order], np.cumsum(matches.hit[counted][order])
    if not len(hit) or not hit[-1]:
        return None
    last = np.append(sorted_scores[1:] != sorted_scores[:-1], True)  # equal scores are kept or left together
    f1 = np.where(last, 2 * hit / (np.arange(1, len(hit) + 1) + objects), -1.0)
    at = int(np.argmax(f1))
    return Best(float(sorted_scores[at]), float(hit[at] / (at + 1)), float(hit[at] / objects), float(f1[at]))
