"""Matching of candidate boxes with objects, in plain TensorFlow, by the matrix of all their overlaps.

Symbols: B images, N candidates and G objects per image.
"""

import tensorflow as tf

from awsdet.ops.match import Match

_TINY = 1e-6


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
    """Arguments and result are those of `awsdet.ops.match.match`."""
    candidates = tf.broadcast_to(candidates, [tf.shape(boxes)[0], tf.shape(candidates)[-2], 4])
    common = _common_area(candidates[:, :, tf.newaxis], boxes[:, tf.newaxis])
    own, areas = _area(candidates)[:, :, tf.newaxis], _area(boxes)[:, tf.newaxis]
    usable = valid
    if ignore_iof >= 0:
        covered = tf.where(is_crowd[:, tf.newaxis], common / tf.maximum(own, _TINY), 0.0)
        usable &= _highest(covered) <= ignore_iof
    overlaps = common / tf.maximum(own + areas - common, _TINY)
    overlaps = tf.where(is_target[:, tf.newaxis] & usable[..., tf.newaxis], overlaps, -1.0)
    best = _highest(overlaps)
    # The first of equals; a last column, below all others, stands in where there is no object.
    index = tf.argmax(tf.pad(overlaps, [[0, 0], [0, 0], [0, 1]], constant_values=-2.0), axis=2, output_type=tf.int32)
    positive = best >= positive_iou
    if low_quality_matches:
        highest = tf.reduce_max(overlaps, axis=1, keepdims=True)
        reachable = (highest >= min_positive_iou) & (highest >= 0.0)
        slots = tf.range(tf.shape(boxes)[1])
        rescued = tf.where((overlaps == highest) & reachable, slots, -1)
        rescued = tf.reduce_max(tf.pad(rescued, [[0, 0], [0, 0], [0, 1]], constant_values=-1), axis=2)
        positive |= rescued >= 0
        index = tf.where(rescued >= 0, rescued, index)
    positive &= usable
    matched = Match(positive, usable & ~positive & (best < negative_iou), index)
    return _prepend_truth(matched, is_target) if with_truth else matched


def _prepend_truth(matched, is_target):
    """Adds every object as a candidate that is matched to itself, so that each has a positive."""
    slots = tf.broadcast_to(tf.range(tf.shape(is_target)[1]), tf.shape(is_target))
    own = Match(is_target, tf.zeros_like(is_target), slots)
    return Match(*(tf.concat(parts, axis=1) for parts in zip(own, matched)))


def _area(boxes):
    """Areas [...] of boxes [..., 4]; 0 for inverted boxes."""
    return tf.maximum(boxes[..., 2] - boxes[..., 0], 0.0) * tf.maximum(boxes[..., 3] - boxes[..., 1], 0.0)


def _common_area(boxes, others):
    """Intersection areas [...] of boxes [..., 4] and others [..., 4], whose leading dimensions broadcast."""
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    u1, v1, u2, v2 = tf.unstack(others, axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    return width * tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)


def _highest(values):
    """Maximum over the last axis and 0, so that the axis may be empty."""
    return tf.reduce_max(tf.pad(values, [[0, 0], [0, 0], [0, 1]]), axis=2)
