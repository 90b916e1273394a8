"""Sampling of candidates for the loss, and what the samples are to learn, compiled.

`awsdet.ops.reference.sample` holds the same in plain TensorFlow.

Symbols: B images, N candidates and G objects per image, S samples per image.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.arguments import tensor

tf.no_gradient("AwsdetSample")


class Sample(NamedTuple):
    """The chosen candidates of each image, positives first, then negatives, each by rising key, then unused slots."""

    index: tf.Tensor  # int32 [B, S], 0 in unused slots
    positive: tf.Tensor  # bool [B, S]
    valid: tf.Tensor  # bool [B, S]: False in unused slots
    truth: tf.Tensor  # int32 [B, S]: the object of positives, 0 elsewhere
    boxes: tf.Tensor  # float32 [B, S, 4]: the candidates themselves, zeros in unused slots
    labels: tf.Tensor  # int32 [B, S]: the class of positives, the background elsewhere
    deltas: tf.Tensor  # float32 [B, S, 4]: take each positive to its object; 0 elsewhere
    is_object: tf.Tensor  # bool [B, S]: the candidate is an object itself
    counts: tf.Tensor  # float32 [B, 2]: positives and negatives


def sample(
    matched, keys, candidates, boxes, classes, *, size, positive_limit, background=0, stds=(1.0,) * 4, with_truth=False
):
    """Chooses the candidates with the smallest keys: positives, and negatives for the slots that these leave.

    Args:
        matched: Match of [B, N], or of [B, G + N] if `with_truth`.
        keys: float32, of the same shape, not NaN. Of equal keys the lower index comes first.
        candidates: float32 [B, N, 4], x1, y1, x2, y2; or [N, 4], which all images share.
        boxes: float32 [B, G, 4]; classes: int32 [B, G].
        size: S, a Python int. positive_limit: at most so many samples are positive.
        background: the label of all that are not positive.
        stds: what dx, dy, dw, dh are divided by; see `detection.boxes.BoxCoder`.
        with_truth: the objects themselves are the first candidates.

    Returns Sample. No gradient.

    Raises tf.errors.InvalidArgumentError naming the argument for a wrong shape, dtype or value. A GPU does not check
    the values of matched.index.
    """
    return Sample(
        *library.load().awsdet_sample(
            positive=tensor("sample: positive", matched.positive, tf.bool),
            negative=tensor("sample: negative", matched.negative, tf.bool),
            matched=tensor("sample: matched", matched.index, tf.int32),
            keys=tensor("sample: keys", keys, tf.float32),
            candidates=tensor("sample: candidates", candidates, tf.float32),
            boxes=tensor("sample: boxes", boxes, tf.float32),
            classes=tensor("sample: classes", classes, tf.int32),
            size=size,
            positive_limit=positive_limit,
            background=background,
            stds=[float(std) for std in stds],
            with_truth=with_truth,
        )
    )
