"""Sampling: a fixed number of positives and negatives for the loss.

The candidates with the smallest keys are taken: random keys give a random sample, and a test can choose its own keys.

Symbols: B images, N candidates per image, S samples per image.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from awsdet.detection.matching import NEGATIVE, POSITIVE


class Sample(NamedTuple):
    # int32 [B, S]: the chosen candidates, positives first, then negatives, each by rising key; 0 in unused slots
    index: tf.Tensor
    positive: tf.Tensor  # bool [B, S]
    valid: tf.Tensor  # bool [B, S]: False in unused slots


@dataclasses.dataclass(frozen=True)
class Sampler:
    """mmdetection's RandomSampler: negatives fill the slots that positives leave.

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
    """(Indices int32 [B, limit] of the allowed candidates with the smallest keys, their number int32 [B, 1])."""
    available = tf.shape(keys)[1]
    top = tf.math.top_k(tf.where(allowed, -keys, -tf.float32.max), tf.minimum(limit, available))
    index = tf.pad(top.indices, [[0, 0], [0, limit - tf.shape(top.indices)[1]]])
    index.set_shape([None, limit])
    count = tf.minimum(tf.reduce_sum(tf.cast(allowed, tf.int32), axis=1, keepdims=True), limit)
    return index, count
