"""All pairs of a detection and an object of an image that overlap, from which every count of the analysis is made.

Symbols: D detections, G objects, P pairs, K classes.
"""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import Params

from awsdet.evaluation.coco_scores import Objects, ranked, take

LEAST_IOU = 0.1  # pairs with a smaller overlap are left out


class Pairs(NamedTuple):
    """Detections sorted by image and falling score, objects sorted by image, and the pairs of the two.

    found_rows and truth_rows are their positions in what `pair` was given. The pairs of detection d are `first[d]` to
    `first[d + 1] - 1`, sorted by object. The overlap with a crowd region is a share of the detection, as in COCO.
    """

    truth: Objects
    crowd: np.ndarray  # bool [G]
    truth_rows: np.ndarray  # int64 [G]
    found: Objects
    scores: np.ndarray  # float64 [D]
    found_rows: np.ndarray  # int64 [D]
    first: np.ndarray  # int64 [D + 1]
    object: np.ndarray  # int64 [P]
    iou: np.ndarray  # float64 [P]

    def detection(self):
        """The detection of each pair, int64 [P]."""
        return np.repeat(np.arange(len(self.scores)), np.diff(self.first))


def pair(sides) -> Pairs:
    """The Pairs of Sides. Of each class, only the 100 best detections per image take part, as in COCO."""
    limit = Params("bbox").maxDets[-1]
    order, rank = ranked(sides.found, sides.scores)
    kept = np.sort(order[rank < limit])
    kept = kept[np.lexsort((-sides.scores[kept], sides.found.images[kept]))]
    found, scores = take(sides.found, kept), sides.scores[kept]
    rows = np.argsort(sides.truth.images, kind="stable")
    truth, crowd = take(sides.truth, rows), sides.crowd[rows]
    counts, objects, overlaps = _overlaps(truth, crowd, found)
    first = np.concatenate([[0], np.cumsum(counts)])
    return Pairs(truth, crowd, rows, found, scores, kept, first, objects, overlaps)


def _overlaps(truth, crowd, found):
    """(pairs per detection [D], objects [P], IoU [P])."""
    counts = np.zeros(len(found.images), np.int64)
    objects, overlaps = [np.zeros(0, np.int64)], [np.zeros(0)]
    images = np.intersect1d(truth.images, found.images)
    ends = [np.searchsorted(side.images, [images, images + 1]).T.tolist() for side in (truth, found)]
    for (t, t_end), (f, f_end) in zip(*ends):
        iou = coco_mask.iou(found.shapes[f:f_end], truth.shapes[t:t_end], crowd[t:t_end])
        near, which = np.nonzero(iou >= LEAST_IOU)
        counts[f:f_end] = np.bincount(near, minlength=f_end - f)
        objects.append(which + t)
        overlaps.append(iou[near, which])
    return counts, np.concatenate(objects), np.concatenate(overlaps)
