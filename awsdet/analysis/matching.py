"""COCO's matching of detections with objects, at any IoU, on pairs; and matching across classes.

Each detection, the best first, takes the object with the largest overlap that no better one has taken; of equal
overlaps the later object, as COCOeval does.
"""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.pairs import LEAST_IOU, Pairs


class Matches(NamedTuple):
    """What became of D detections.

    Attributes:
      object: int64 [D], the object that each one matched; -1: none.
      hit: bool [D], a true positive.
      ignored: bool [D], it matched what does not count, such as a crowd region, and so does not count itself.
    """

    object: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray

    @property
    def counted(self):
        """bool [D]: true or false positives."""
        return ~self.ignored

    def taken(self, count: int):
        """bool [count]: which of the objects a true positive matched."""
        taken = np.zeros(count, bool)
        taken[self.object[self.hit]] = True
        return taken


def match(pairs: Pairs, threshold: float, groups=None) -> Matches:
    """Matches detections with objects of their class.

    Args:
      pairs: Pairs.
      threshold: the least IoU, LEAST_IOU or more.
      groups: int [K], or None. With it, a detection that no object of its class is left for may also match an object of
        another class of the same group; it is then ignored. Such an object serves once for each class of detections.
    """
    _check(threshold)
    count = len(pairs.scores)
    matched, hit = np.full(count, -1, np.int64), np.zeros(count, bool)
    classes, true_classes = pairs.found.classes.tolist(), pairs.truth.classes.tolist()
    crowd, first = pairs.crowd.tolist(), pairs.first.tolist()
    objects, overlaps = pairs.object.tolist(), pairs.iou.tolist()
    groups = None if groups is None else np.asarray(groups).tolist()
    taken = set()
    for d in np.flatnonzero(np.diff(pairs.first)).tolist():
        k, best, choice = classes[d], (False, threshold), -1
        for p in range(first[d], first[d + 1]):
            g, iou = objects[p], overlaps[p]
            if iou < threshold or (g, k) in taken:
                continue
            own = true_classes[g] == k
            if not own and (groups is None or groups[true_classes[g]] != groups[k]):
                continue
            rank = (own and not crowd[g], iou)  # objects that count are preferred
            if rank >= best:
                best, choice = rank, g
        if choice >= 0:
            matched[d], hit[d] = choice, best[0]
            if not crowd[choice]:
                taken.add((choice, k))
    return Matches(matched, hit, (matched >= 0) & ~hit)


def match_any_class(pairs: Pairs, threshold: float, chosen) -> np.ndarray:
    """Matches detections with objects of any class; crowd regions take no part.

    chosen: bool [D], the detections that take part. Returns the object of each one, int64 [D]; -1: none.
    """
    _check(threshold)
    matched = np.full(len(pairs.scores), -1, np.int64)
    crowd, first = pairs.crowd.tolist(), pairs.first.tolist()
    objects, overlaps = pairs.object.tolist(), pairs.iou.tolist()
    taken = set()
    for d in np.flatnonzero(chosen & (np.diff(pairs.first) > 0)).tolist():
        best, choice = threshold, -1
        for p in range(first[d], first[d + 1]):
            if overlaps[p] >= best and not crowd[objects[p]] and objects[p] not in taken:
                best, choice = overlaps[p], objects[p]
        if choice >= 0:
            matched[d] = choice
            taken.add(choice)
    return matched


def _check(threshold):
    if threshold < LEAST_IOU:
        raise ValueError(f"an IoU of {threshold} is asked for, and pairs below {LEAST_IOU} are not there")
