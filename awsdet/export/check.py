"""Compares an exported model with the detector that it came from, object by object."""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

BOX, SCORE, MASK = 0.05, 1e-4, 0.999  # px, difference, share of the pixels of an object's box that agree


class Difference(NamedTuple):
    """What was compared, and the largest differences over all objects."""

    images: int
    objects: int
    boxes: float  # px
    scores: float  # also of the IoU that a mask is expected to have
    masks: float | None  # the least share of equal pixels, of those that either mask has; None: nothing to compare
    unmatched: int  # objects that only one of the two found, and whose score does not explain it

    def holds(self):
        """Whether the model gives the detector's numbers."""
        return (
            self.boxes <= BOX
            and self.scores <= SCORE
            and (self.masks is None or self.masks >= MASK)
            and not self.unmatched
        )

    def failure(self):
        """What is wrong if it does not hold."""
        return "the exported model does not give the numbers of the checkpoint"

    def weakness(self):
        """Why it says little though it holds; empty if it does not."""
        if self.objects:
            return ""
        return "no object was found in the images, so little was compared; give images of your data with --images=FILE"


def compare(detector, exported, images):
    """The Difference of a Detector and what has `find`, on `images`, arrays uint8 [H, W, 3].

    An object whose score is within SCORE of the detector's threshold, or of the last of a full list, may be found by
    one alone.
    """
    rule = detector.suppression
    count, boxes, scores, masks, unmatched = 0, [], [], [], 0
    for image in images:
        ours, theirs = detector.find(image), exported.find(image)
        pairs, left = _pairs(ours, theirs)
        full = [found.scores.min() for found in (ours, theirs) if len(found.scores) == rule.max_detections]
        edge = max([rule.least_score, *full]) + SCORE
        unmatched += sum(score > edge for score in left)
        count += len(pairs)
        for mine, other in pairs:
            boxes.append(np.abs(ours.boxes[mine] - theirs.boxes[other]).max())
            scores.append(abs(ours.scores[mine] - theirs.scores[other]))
            if ours.iou_scores is not None and theirs.iou_scores is not None:
                scores.append(abs(ours.iou_scores[mine] - theirs.iou_scores[other]))
            if ours.masks is not None and theirs.masks is not None:
                masks.append(_agreement(ours.masks[mine], theirs.masks[other]))
    largest = (float(np.max(values, initial=0.0)) for values in (boxes, scores))  # NaN if there is one, which fails
    return Difference(len(images), count, *largest, min(masks, default=None), int(unmatched))


def _pairs(ours, theirs):
    """[(index, index)] of the same objects, and the scores of those without a partner."""
    free, pairs, left = list(range(len(theirs.scores))), [], []
    for mine in range(len(ours.scores)):
        same = [other for other in free if theirs.classes[other] == ours.classes[mine]]
        apart = [np.abs(theirs.boxes[other] - ours.boxes[mine]).max() for other in same]
        if same and min(apart) < 1.0:
            other = same[int(np.argmin(apart))]
            free.remove(other)
            pairs.append((mine, other))
        else:
            left.append(ours.scores[mine])
    return pairs, left + [theirs.scores[other] for other in free]


def _agreement(mask, other):
    """The share of equal pixels among the pixels of the masks' common frame."""
    one, two = (coco_mask.decode(part).astype(bool) for part in (mask, other))
    either = one | two
    if not either.any():
        return 1.0
    rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    frame = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    wrong = np.count_nonzero(one[frame] != two[frame])
    # One pixel of a small mask may lie on the threshold itself.
    return 1.0 if wrong <= 1 else 1.0 - wrong / either[frame].size
