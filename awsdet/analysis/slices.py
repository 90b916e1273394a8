"""AP and recall of parts of a set: objects by size, images by the number of objects in them."""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.matching import Matches
from awsdet.analysis.pairs import Pairs
from awsdet.analysis.precision import ABSENT, class_curves, mean_of_classes

_SIDES = (0, 8, 16, 32, 64, 96, 192, 384)  # px, root of the area
_CROWDING = (0, 1, 2, 4, 8, 16, 32)  # least number of objects


class SizeRow(NamedTuple):
    """Objects of one size: how many, and which shares of them a detection of their class matches at IoU 0.5: one of any
    score, and one with at least the score that the report uses.
    """

    name: str
    objects: int
    found: float
    found_surely: float


class CrowdingRow(NamedTuple):
    """Images with so many objects: images, objects, AP at IoU 0.5 (ABSENT without objects), false positives per image
    with at least the score that the report uses.
    """

    name: str
    images: int
    objects: int
    ap50: float
    false_per_image: float


def by_size(pairs: Pairs, matches: Matches, score: float) -> list:
    """A SizeRow for each size that has objects; `matches`: at IoU 0.5."""
    sides = np.sqrt(np.maximum(pairs.truth.areas, 0))
    any_score = matches.taken(len(pairs.crowd))
    surely = np.zeros(len(pairs.crowd), bool)
    surely[matches.object[matches.hit & (pairs.scores >= score)]] = True
    rows = []
    for low, high in zip(_SIDES, (*_SIDES[1:], np.inf)):
        name = f"under {high} px" if not low else f"{low} to {high} px" if high < np.inf else f"from {low} px on"
        chosen = ~pairs.crowd & (sides >= low) & (sides < high)
        if chosen.any():
            rows.append(SizeRow(name, int(chosen.sum()), any_score[chosen].mean(), surely[chosen].mean()))
    return rows


def by_crowding(pairs: Pairs, matches: Matches, num_images: int, num_classes: int, score: float) -> list:
    """A CrowdingRow for each range that has images; `matches`: at IoU 0.5."""
    objects = np.bincount(pairs.truth.images[~pairs.crowd], minlength=num_images)
    wrong = matches.counted & ~matches.hit & (pairs.scores >= score)
    false = np.bincount(pairs.found.images[wrong], minlength=num_images)
    rows = []
    for low, high in zip(_CROWDING, (*_CROWDING[1:], np.inf)):
        chosen = (objects >= low) & (objects < high)
        if chosen.any():
            name = f"{low} or more" if high == np.inf else f"{low}" if high == low + 1 else f"{low} to {high - 1}"
            ap = _ap(pairs, matches, chosen, num_classes)
            rows.append(
                CrowdingRow(name, int(chosen.sum()), int(objects[chosen].sum()), ap, float(false[chosen].mean()))
            )
    return rows


def _ap(pairs, matches, chosen, num_classes):
    """AP at IoU 0.5 of some images, bool [images]."""
    here = matches.counted & chosen[pairs.found.images]
    objects = pairs.truth.classes[~pairs.crowd & chosen[pairs.truth.images]]
    counts = np.bincount(objects, minlength=num_classes)
    if not counts.any():
        return ABSENT
    curves = class_curves(pairs.found.classes[here], pairs.scores[here], matches.hit[here], counts)
    return mean_of_classes(curves.mean(axis=1))
