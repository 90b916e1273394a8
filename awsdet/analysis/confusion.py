"""Which classes are taken for which: the confusion matrix of detections at one score and IoU."""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.matching import Matches, match_any_class
from awsdet.analysis.pairs import Pairs


class Confusion(NamedTuple):
    """A confusion matrix. matrix: int64 [K + 1, K + 1], rows true classes, columns detected ones, the last of both
    background: an object that was not found, a detection where there is no object. score: the least that counts.
    """

    matrix: np.ndarray
    score: float
    iou: float

    def swaps(self):
        """[(true class, detected class, number)] of all confusions of two classes, the most frequent first."""
        inner = self.matrix[:-1, :-1]
        rows, columns = np.nonzero(inner - np.diag(np.diag(inner)))
        found = zip(rows.tolist(), columns.tolist(), inner[rows, columns].tolist())
        return sorted(found, key=lambda swap: (-swap[2], *swap[:2]))


def confusion(pairs: Pairs, matches: Matches, num_classes: int, score: float, iou: float) -> Confusion:
    """The Confusion of detections with at least `score`, matched whatever their class, the best first.

    matches: of classes with themselves at this IoU; a detection that matched a crowd region does not count.
    """
    chosen = (pairs.scores >= score) & matches.counted
    matched = match_any_class(pairs, iou, chosen)
    true = np.where(matched >= 0, np.append(pairs.truth.classes, num_classes)[matched], num_classes)[chosen]
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(matrix, (true, pairs.found.classes[chosen]), 1)
    free = ~pairs.crowd
    free[matched[matched >= 0]] = False
    matrix[:-1, -1] = np.bincount(pairs.truth.classes[free], minlength=num_classes)
    return Confusion(matrix, score, iou)
