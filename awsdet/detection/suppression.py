"""The last step of every detector: keeps the best of many scored boxes, one per object.

Symbols: B images, N boxes, D detections.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.ops.nms import nms

METHODS = ("hard", "linear", "gaussian")


class Detections(NamedTuple):
    boxes: tf.Tensor  # float32 [B, D, 4], pixels of the resized image, zeros in unused slots
    scores: tf.Tensor  # float32 [B, D], highest first
    classes: tf.Tensor  # int32 [B, D], -1 in unused slots
    count: tf.Tensor  # int32 [B], number of detections
    valid: tf.Tensor  # bool [B, D], the slots that are used

    def outputs(self):
        """What a detector puts out, a dict: all but `valid`, which follows from `count`."""
        return {"boxes": self.boxes, "scores": self.scores, "classes": self.classes, "count": self.count}


@dataclasses.dataclass(frozen=True)
class Suppression:
    """Keeps boxes above a score, after NMS within each class, up to a number per image.

    Attributes:
        score_threshold: only boxes with a higher score are considered.
        max_detections: D, the most boxes per image.
        iou: a box whose IoU with a better one of its class is above this is dropped, or its score lowered.
        method: hard; or Soft-NMS (Bodla et al. 2017), which lowers scores instead: linear, gaussian.
        sigma: of gaussian Soft-NMS.
        min_score: Soft-NMS drops a box whose score has fallen to this (mmcv's min_score).
    """

    score_threshold: float = 0.05
    max_detections: int = 100
    iou: float = 0.5
    method: str = "hard"
    sigma: float = 0.5
    min_score: float = 1e-3

    @property
    def least_score(self):
        """The score that all that is kept exceeds."""
        return self.score_threshold if self.method == "hard" else self.min_score

    def suppress(self, boxes, scores, classes):
        """`boxes` float32 [B, N, 4], `scores` float32 [B, N], `classes` int32 [B, N] -> Detections."""
        if self.method != "hard":
            scores = tf.where(scores > self.score_threshold, scores, 0.0)
        kept = nms(
            boxes,
            scores,
            classes,
            iou_threshold=self.iou,
            score_threshold=self.least_score,
            max_output=self.max_detections,
            method=self.method,
            sigma=self.sigma,
        )
        return Detections(kept.boxes, kept.scores, kept.classes, kept.count, kept.valid)
