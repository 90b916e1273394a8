"""COCO's own analysis of what lowers a precision-recall curve, as in the MATLAB function `CocoEval.analyze`.

Each curve removes more errors than the one before, so that the area between two curves is what one kind costs:

    C75   IoU 0.75
    C50   IoU 0.50
    Loc   IoU 0.10: places need not be exact; duplicates still count
    Sim   as Loc, and objects of other classes of the same supercategory may be matched, which is then ignored
    Oth   as Loc, and objects of any other class may be matched, which is then ignored
    BG    all false positives removed: 1 until the largest recall, 0 beyond
    FN    everything removed: 1
"""

import numpy as np

from awsdet.analysis.matching import Matches, match
from awsdet.analysis.pairs import LEAST_IOU, Pairs
from awsdet.analysis.precision import ABSENT, class_curves, object_counts

CURVES = ("C75", "C50", "Loc", "Sim", "Oth", "BG", "FN")


def breakdown(pairs: Pairs, at_50: Matches, num_classes: int, groups) -> np.ndarray:
    """The precision of each curve, class and recall.

    Args:
      pairs: Pairs.
      at_50: matches at IoU 0.5.
      num_classes: K.
      groups: int [K], number of each class' supercategory; a class without one has a number of its own.

    Returns:
      float64 [7, K, 101], in the order of CURVES; ABSENT for classes without objects.
    """
    objects = object_counts(pairs, num_classes)
    alone = len(np.unique(groups)) == num_classes
    loose = match(pairs, LEAST_IOU)
    parts = [match(pairs, 0.75), at_50, loose]
    parts.append(loose if alone else match(pairs, LEAST_IOU, groups))
    parts.append(match(pairs, LEAST_IOU, np.zeros(num_classes, int)))
    curves = [
        class_curves(pairs.found.classes[one.counted], pairs.scores[one.counted], one.hit[one.counted], objects)
        for one in parts
    ]
    there = (objects > 0)[:, None]
    curves.append(np.where(there, curves[-1] > 0, ABSENT))
    curves.append(np.where(there, np.ones_like(curves[0]), ABSENT))
    return np.stack(curves)


def areas(curves) -> np.ndarray:
    """The area below each curve: float64 [7, K] of [7, K, 101]; ABSENT for classes without objects."""
    return curves.mean(axis=-1)


def over_all(curves) -> np.ndarray:
    """The mean curves over all classes that have objects, float64 [7, 101]; ABSENT if there is none."""
    there = curves[0, :, 0] > ABSENT
    return curves[:, there].mean(axis=1) if there.any() else np.full((len(curves), curves.shape[-1]), ABSENT)


def groups_of(supercategories) -> np.ndarray:
    """int [K] for `breakdown`, of the supercategory of each class: a string; None or empty if it has none."""
    numbers = {}
    return np.array([numbers.setdefault(name or (index,), len(numbers)) for index, name in enumerate(supercategories)])
