"""Non-maximum suppression for a batch of images, compiled."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library

tf.no_gradient("AwsdetNms")


class Kept(NamedTuple):
    """What NMS leaves of B images, by falling score, padded to K."""

    indices: tf.Tensor  # int32 [B, K] into the image's boxes, 0 where there are fewer
    scores: tf.Tensor  # float32 [B, K], 0 where there are fewer
    count: tf.Tensor  # int32 [B]
    boxes: tf.Tensor  # float32 [B, K, 4], zeros where there are fewer
    classes: tf.Tensor  # int32 [B, K], -1 where there are fewer
    valid: tf.Tensor  # bool [B, K], whether the place holds a box


def nms(
    boxes, scores, classes=None, *, iou_threshold, score_threshold, max_output, method="hard", sigma=0.5, in_order=False
):
    """Class-wise NMS of all images in one call: greedy, or Soft-NMS (Bodla et al. 2017).

    IoU has no +1 and is float32, as in the reference; that of two empty boxes is 0, so both stay. A box with a NaN
    score, or with a coordinate that is NaN or infinite, is as if it were not there.

    Args:
        boxes: float32 [B, N, 4], x1, y1, x2, y2; scores: float32 [B, N].
        classes: int32 [B, N], any values; boxes of different classes (or pyramid levels) never touch one another.
            None: all are of one.
        iou_threshold: in [0, 1]. hard: a box goes when its IoU with a kept, better one is above it. linear: the score
            is multiplied by 1 - IoU where the IoU is at least it. gaussian: not used.
        score_threshold: only scores above it are kept, after the decay; not negative for linear and gaussian.
        max_output: K, the most boxes to keep an image, a Python int.
        method: "hard", "linear" or "gaussian" (the score is multiplied by exp(-IoU^2 / sigma)).
        in_order: the caller promises that in each image the boxes of a class are neighbours and their scores fall, but
            for boxes that are not above score_threshold or not finite. A GPU then sorts nothing, and the result would
            be wrong without a word if the promise were broken; a CPU checks it. Only for method "hard".

    Returns Kept by falling (decayed) score; equal scores keep their order. No gradient.

    Raises tf.errors.InvalidArgumentError naming the argument for a wrong shape, dtype or value.
    """
    boxes, scores = _tensor("boxes", boxes, tf.float32), _tensor("scores", scores, tf.float32)
    classes = tf.zeros_like(scores, tf.int32) if classes is None else _tensor("classes", classes, tf.int32)
    return Kept(
        *library.load().awsdet_nms(
            boxes=boxes,
            scores=scores,
            classes=classes,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            max_output=max_output,
            method=method,
            sigma=sigma,
            in_order=in_order,
        )
    )


def _tensor(name, value, dtype):
    value = tf.convert_to_tensor(value, dtype_hint=dtype)
    if value.dtype != dtype:
        raise tf.errors.InvalidArgumentError(None, None, f"nms: {name} must be {dtype.name}, not {value.dtype.name}")
    return value
