"""Matching of candidate boxes (anchors or RoIs) with the objects of their image, compiled.

`awsdet.ops.reference.match` holds the same in plain TensorFlow, which makes tensors of candidates x objects; the
operator makes none.

Symbols: B images, N candidates and G objects per image.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.arguments import tensor

tf.no_gradient("AwsdetMatch")


class Match(NamedTuple):
    """What each candidate is to learn; one that is neither positive nor negative takes no part."""

    positive: tf.Tensor  # bool [B, N]
    negative: tf.Tensor  # bool [B, N]
    index: tf.Tensor  # int32 [B, N]: the object of each positive; elsewhere one of the objects, or 0


def match(
    candidates,
    valid,
    boxes,
    is_target,
    is_crowd,
    *,
    positive_iou,
    negative_iou,
    low_quality_matches,
    min_positive_iou,
    ignore_iof,
    with_truth=False,
):
    """Matches candidates to objects by mmdetection's MaxIoUAssigner; `detection.matching.Matcher` gives its rule.

    Args:
        candidates: float32 [B, N, 4], x1, y1, x2, y2; or [N, 4], which all images share.
        valid: bool [B, N]; the others are matched to nothing.
        boxes: float32 [B, G, 4]. is_target, is_crowd: bool [B, G], the objects to learn and the regions to leave out.
        with_truth: the objects themselves are candidates too, before the others: targets are positive and matched to
            themselves, the rest takes no part. The result is then [B, G + N].

    Returns Match. All coordinates must be finite. No gradient.

    Raises tf.errors.InvalidArgumentError naming the argument for a wrong shape or dtype.
    """
    return Match(
        *library.load().awsdet_match(
            candidates=tensor("match: candidates", candidates, tf.float32),
            valid=tensor("match: valid", valid, tf.bool),
            boxes=tensor("match: boxes", boxes, tf.float32),
            is_target=tensor("match: is_target", is_target, tf.bool),
            is_crowd=tensor("match: is_crowd", is_crowd, tf.bool),
            positive_iou=positive_iou,
            negative_iou=negative_iou,
            low_quality_matches=low_quality_matches,
            min_positive_iou=min_positive_iou,
            ignore_iof=ignore_iof,
            with_truth=with_truth,
        )
    )
