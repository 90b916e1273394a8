"""The last step of every detector: the best of many scored boxes, each object once.

Symbols: B images, N boxes, D detections.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.ops.nms import nms

METHODS = ("hard", "linear", "gaussian")


class Detections(NamedTuple):
    boxes: tf.Tensor  # float32 [B, D, 4], pixels of the resized image, zeros where there are fewer
    scores: tf.Tensor  # float32 [B, D], falling
    classes: tf.Tensor  # int32 [B, D], -1 where there are fewer
    count: tf.Tensor  # int32 [B]


@dataclasses.dataclass(frozen=True)
class Suppression:
    """Boxes above a score, after class-wise NMS, at most so many per image.

    Attributes:
        score_threshold: only boxes with a higher score are looked at.
        max_detections: D, the most boxes per image.
        iou: boxes of a class whose IoU with a better one is above this are dropped, or their scores lowered.
        method: hard; or Soft-NMS (Bodla et al. 2017), which lowers scores instead: linear, gaussian.
        sigma: of gaussian.
        min_score: Soft-NMS: a box is dropped when its score was lowered to this (mmcv's min_score).
    """

    score_threshold: float = 0.05
    max_detections: int = 100
    iou: float = 0.5
    method: str = "hard"
    sigma: float = 0.5
    min_score: float = 1e-3

    def suppress(self, boxes, scores, classes):
        """`boxes` float32 [B, N, 4], `scores` float32 [B, N], `classes` int32 [B, N] -> Detections."""
        if self.method == "hard":
            least = self.score_threshold
        else:
            scores, least = tf.where(scores > self.score_threshold, scores, 0.0), self.min_score
        kept = nms(
            boxes,
            scores,
            classes,
            iou_threshold=self.iou,
            score_threshold=least,
            max_output=self.max_detections,
            method=self.method,
            sigma=self.sigma,
        )
        used = tf.sequence_mask(kept.count, self.max_detections)
        return Detections(
            tf.where(used[..., tf.newaxis], tf.gather(boxes, kept.indices, batch_dims=1), 0.0),
            kept.scores,
            tf.where(used, tf.gather(classes, kept.indices, batch_dims=1), -1),
            kept.count,
        )
