"""Sampling: a fixed number of positives and negatives for the loss.

Candidates with the smallest keys are taken, so that random keys sample at random and a test can hand in keys of its
own.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection.matching import NEGATIVE, POSITIVE


class Sample(NamedTuple):
    # int32 [B, S]: the chosen candidates, positives first, each part by rising key; 0 in unused slots
    index: tf.Tensor
    positive: tf.Tensor  # bool [B, S]
    valid: tf.Tensor  # bool [B, S]: False in slots that no candidate was left for


@dataclasses.dataclass(frozen=True)
class Sampler:
    """mmdetection's RandomSampler: negatives fill what positives leave.

    Attributes:
        size: S, candidates per image.
        positive_fraction: at most int(size * positive_fraction) of them are positive.
    """

    size: int
    positive_fraction: float

    def sample(self, state, keys):
        """Chooses candidates by `state` int32 [B, N], as `Matcher.match` gives it, and `keys` float32 [B, N].

        Returns a Sample.
        """
        limit = int(self.size * self.positive_fraction)
        positives, positive_count = _smallest(keys, state == POSITIVE, limit)
        negatives, negative_count = _smallest(keys, state == NEGATIVE, self.size)
        slot = tf.range(self.size)[tf.newaxis]
        positive = slot < positive_count
        valid = slot < positive_count + negative_count
        chosen = tf.where(positive, slot, limit + slot - positive_count)
        index = tf.gather(tf.concat([positives, negatives], axis=1), chosen, batch_dims=1)
        return Sample(tf.where(valid, index, 0), positive, valid)


def _smallest(keys, allowed, limit):
    """Indices int32 [B, limit] of the allowed candidates with the smallest keys, and how many there are, int32 [B,
    1]."""
    available = tf.shape(keys)[1]
    top = tf.math.top_k(tf.where(allowed, -keys, -tf.float32.max), tf.minimum(limit, available))
    index = tf.pad(top.indices, [[0, 0], [0, limit - tf.shape(top.indices)[1]]])
    index.set_shape([None, limit])
    count = tf.minimum(tf.reduce_sum(tf.cast(allowed, tf.int32), axis=1, keepdims=True), limit)
    return index, count
