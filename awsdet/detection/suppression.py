"""The last step of every detector: of many scored boxes the best ones, each object once.

Symbols: B images, N boxes, D detections.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops.nms import nms

METHODS = ("hard", "linear", "gaussian")


class Detections(NamedTuple):
    boxes: tf.Tensor  # float32 [B, D, 4], pixels of the resized image, zeros where there are fewer
    scores: tf.Tensor  # float32 [B, D], falling
    classes: tf.Tensor  # int32 [B, D], -1 where there are fewer
    count: tf.Tensor  # int32 [B]


def suppress(boxes, scores, classes, rule):
    """Boxes above the score threshold, after class-wise NMS, at most max_detections an image.

    `boxes` float32 [B, N, 4], `scores` float32 [B, N], `classes` int32 [B, N]. `rule` has score_threshold,
    max_detections, nms_iou, nms_method (hard; or linear, gaussian: Soft-NMS, Bodla et al. 2017, which lowers the
    scores of boxes that overlap better ones), nms_sigma (of gaussian) and nms_min_score (a box whose score was lowered
    to it goes; mmcv's min_score).
    """
    if rule.nms_method == "hard":
        least = rule.score_threshold
    else:
        scores, least = tf.where(scores > rule.score_threshold, scores, 0.0), rule.nms_min_score
    kept = nms(
        boxes,
        scores,
        classes,
        iou_threshold=rule.nms_iou,
        score_threshold=least,
        max_output=rule.max_detections,
        method=rule.nms_method,
        sigma=rule.nms_sigma,
    )
    used = tf.sequence_mask(kept.count, rule.max_detections)
    return Detections(
        tf.where(used[..., tf.newaxis], tf.gather(boxes, kept.indices, batch_dims=1), 0.0),
        kept.scores,
        tf.where(used, tf.gather(classes, kept.indices, batch_dims=1), -1),
        kept.count,
    )
