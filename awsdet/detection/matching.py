"""Matching: the ground truth, if any, that each candidate box (anchor or RoI) is to learn.

Symbols: B images, N candidates and G ground-truth slots per image.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.ops.match import match


class GroundTruth(NamedTuple):
    """What is annotated on the images of a batch; slots that are neither target nor crowd are padding."""

    boxes: tf.Tensor  # float32 [B, G, 4]
    classes: tf.Tensor  # int32 [B, G], -1 in padding
    is_target: tf.Tensor  # bool [B, G]: objects to learn
    is_crowd: tf.Tensor  # bool [B, G]: regions to leave out of the loss


def ground_truth(batch):
    """The GroundTruth of a batch, a dict as the reader makes it."""
    is_object = batch["classes"] >= 0
    return GroundTruth(batch["boxes"], batch["classes"], is_object & ~batch["is_crowd"], is_object & batch["is_crowd"])


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Decides by IoU which candidates are positive and which are negative: mmdetection's MaxIoUAssigner.

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

    def match(self, candidates, truth, valid=None, with_truth=False):
        """Matches `candidates` float32 [B, N, 4], or [N, 4] for all images, to a GroundTruth.

        `valid` bool [B, N]: False has a candidate ignored and matched to nothing. `with_truth`: the objects are
        candidates too, before the others, each matched to itself, so that each has a positive.

        Returns an `ops.match.Match` of [B, N], or of [B, G + N] `with_truth`.
        """
        if valid is None:
            valid = tf.ones([tf.shape(truth.boxes)[0], tf.shape(candidates)[-2]], tf.bool)
        return match(
            candidates,
            valid,
            truth.boxes,
            truth.is_target,
            truth.is_crowd,
            with_truth=with_truth,
            **dataclasses.asdict(self),
        )
