"""Matching: which ground truth, if any, each candidate box (anchor or RoI) stands for.

Symbols: N candidates, G ground-truth slots. The rule is mmdetection's MaxIoUAssigner; any leading batch dimensions.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class Match(NamedTuple):
    state: tf.Tensor  # int32 [..., N]: POSITIVE, NEGATIVE or IGNORED
    index: tf.Tensor  # int32 [..., N]: the matched ground truth of positives; some valid index elsewhere


def match(candidates, ground_truth, is_target, is_crowd, *, rule, candidate_valid=None):
    """Matches `candidates` float32 [..., N, 4] to `ground_truth` float32 [..., G, 4].

    `is_target` bool [..., G] marks objects to find, `is_crowd` bool [..., G] regions to leave alone, neither marks
    padding. `candidate_valid` bool [..., N] excludes candidates altogether. `rule` has positive_iou, negative_iou,
    min_positive_iou, low_quality_matches and ignore_iof.

    A candidate is positive from positive_iou on; negative below negative_iou; with low_quality_matches each object
    also takes the candidates of its own highest IoU, if that is min_positive_iou or more (the last object wins).
    Candidates of which more than ignore_iof lies in a crowd region are ignored, and take part in nothing.
    """
    usable = tf.ones(tf.shape(candidates)[:-1], tf.bool) if candidate_valid is None else candidate_valid
    if rule.ignore_iof >= 0:
        covered = tf.where(is_crowd[..., tf.newaxis, :], box_lib.iof(candidates, ground_truth), 0.0)
        usable &= _max(covered) <= rule.ignore_iof
    overlaps = box_lib.iou(candidates, ground_truth)
    overlaps = tf.where(is_target[..., tf.newaxis, :] & usable[..., tf.newaxis], overlaps, -1.0)
    best = tf.maximum(_max(overlaps), 0.0)
    index = tf.argmax(overlaps, axis=-1, output_type=tf.int32)
    positive = best >= rule.positive_iou
    if rule.low_quality_matches:
        highest = tf.reduce_max(overlaps, axis=-2, keepdims=True)
        reachable = (highest >= rule.min_positive_iou) & (highest >= 0.0)
        slots = tf.range(tf.shape(ground_truth)[-2])
        rescued = tf.reduce_max(tf.where((overlaps == highest) & reachable, slots, -1), axis=-1)
        positive |= rescued >= 0
        index = tf.where(rescued >= 0, rescued, index)
    state = tf.where(best < rule.negative_iou, NEGATIVE, IGNORED)
    state = tf.where(positive, POSITIVE, state)
    return Match(tf.where(usable, state, IGNORED), index)


def _max(values):
    """Maximum over the last axis, which may be empty: then 0."""
    return tf.reduce_max(tf.pad(values, [[0, 0]] * (values.shape.rank - 1) + [[0, 1]]), axis=-1)
