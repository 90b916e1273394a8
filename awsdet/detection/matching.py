"""Matching: which ground truth, if any, each candidate box (anchor or RoI) stands for.

Symbols: N candidates, G ground-truth slots. The rule is mmdetection's MaxIoUAssigner; any leading batch dimensions.
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
    is_target: tf.Tensor  # bool [..., G]: objects to find
    is_crowd: tf.Tensor  # bool [..., G]: regions to leave alone


def ground_truth(batch):
    """The GroundTruth of a batch, the dict that the reader makes."""
    is_object = batch["classes"] >= 0
    return GroundTruth(batch["boxes"], batch["classes"], is_object & ~batch["is_crowd"], is_object & batch["is_crowd"])


class Match(NamedTuple):
    state: tf.Tensor  # int32 [..., N]: POSITIVE, NEGATIVE or IGNORED
    index: tf.Tensor  # int32 [..., N]: the matched ground truth of positives; some valid index elsewhere


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Decides by IoU which candidates are positive, which negative.

    Attributes:
        positive_iou: from this IoU with an object on a candidate is positive.
        negative_iou: below this IoU with every object it is negative; in between it is ignored.
        low_quality_matches: each object also takes the candidates of its own highest IoU (the last object wins), if
            that is at least min_positive_iou.
        min_positive_iou: see there.
        ignore_iof: candidates of which a larger share lies in a crowd region are ignored and take part in nothing;
            negative: none is.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.5
    min_positive_iou: float = 0.0
    low_quality_matches: bool = True
    ignore_iof: float = 0.5

    def match(self, candidates, truth, valid=None):
        """Matches `candidates` float32 [..., N, 4] to a GroundTruth. Returns Match.

        `valid` bool [..., N]: False excludes a candidate altogether.
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
    """Maximum over the last axis, which may be empty: then 0."""
    return tf.reduce_max(tf.pad(values, [[0, 0]] * (values.shape.rank - 1) + [[0, 1]]), axis=-1)
