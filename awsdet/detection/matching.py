"""Matching: the ground truth, if any, that each candidate box (anchor or RoI) is to learn.

The rule is mmdetection's MaxIoUAssigner. Symbols: N candidates, G ground-truth slots, ... any batch dimensions.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection import boxes as box_lib

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


class GroundTruth(NamedTuple):
    """What is annotated on the images of a batch; slots that are neither target nor crowd are padding."""

    boxes: tf.Tensor  # float32 [..., G, 4]
    classes: tf.Tensor  # int32 [..., G], -1 in padding
    is_target: tf.Tensor  # bool [..., G]: objects to learn
    is_crowd: tf.Tensor  # bool [..., G]: regions to leave out of the loss


def ground_truth(batch):
    """The GroundTruth of a batch, a dict as the reader makes it."""
    is_object = batch["classes"] >= 0
    return GroundTruth(batch["boxes"], batch["classes"], is_object & ~batch["is_crowd"], is_object & batch["is_crowd"])


class Match(NamedTuple):
    state: tf.Tensor  # int32 [..., N]: POSITIVE, NEGATIVE or IGNORED
    index: tf.Tensor  # int32 [..., N]: the matched ground truth of positives; some valid index elsewhere


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Decides by IoU which candidates are positive and which are negative.

    Attributes:
        positive_iou: a candidate is positive if its IoU with an object is at least this.
        negative_iou: a candidate is negative if its IoU with every object is below this; in between it is ignored.
        low_quality_matches: each object also gets the candidates with which it has its highest IoU, if that is at least
            min_positive_iou. If several objects claim a candidate, the last one gets it.
        min_positive_iou: see low_quality_matches.
        ignore_iof: a candidate is ignored, and matched to nothing, if more than this share of it lies in a crowd
            region; negative: none is.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.5
    min_positive_iou: float = 0.0
    low_quality_matches: bool = True
    ignore_iof: float = 0.5

    def match(self, candidates, truth, valid=None):
        """Matches `candidates` float32 [..., N, 4] to a GroundTruth. Returns Match.

        `valid` bool [..., N]: False has a candidate ignored and matched to nothing.
        """
        usable = tf.ones(tf.shape(candidates)[:-1], tf.bool) if valid is None else valid
        if self.ignore_iof >= 0:
            covered = tf.where(truth.is_crowd[..., tf.newaxis, :], box_lib.iof(candidates, truth.boxes), 0.0)
            usable &= _max(covered) <= self.ignore_iof
        overlaps = box_lib.iou(candidates, truth.boxes)
        overlaps = tf.where(truth.is_target[..., tf.newaxis, :] & usable[..., tf.newaxis], overlaps, -1.0)
        best = tf.maximum(_max(overlaps), 0.0)
        index = tf.argmax(overlaps, axis=-1, output_type=tf.int32)
        positive = best >= self.positive_iou
        if self.low_quality_matches:
            highest = tf.reduce_max(overlaps, axis=-2, keepdims=True)
            reachable = (highest >= self.min_positive_iou) & (highest >= 0.0)
            slots = tf.range(tf.shape(truth.boxes)[-2])
            rescued = tf.reduce_max(tf.where((overlaps == highest) & reachable, slots, -1), axis=-1)
            positive |= rescued >= 0
            index = tf.where(rescued >= 0, rescued, index)
        state = tf.where(best < self.negative_iou, NEGATIVE, IGNORED)
        state = tf.where(positive, POSITIVE, state)
        return Match(tf.where(usable, state, IGNORED), index)


def _max(values):
    """Maximum over the last axis and 0, so that the axis may be empty."""
    return tf.reduce_max(tf.pad(values, [[0, 0]] * (values.shape.rank - 1) + [[0, 1]]), axis=-1)
