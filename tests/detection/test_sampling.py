"""Sampling: sizes, order, keys."""

import numpy as np
import tensorflow as tf

from awsdet.detection.matching import IGNORED, NEGATIVE, POSITIVE
from awsdet.detection.sampling import Sampler


def test_takes_the_smallest_keys_positives_first():
    state = tf.constant([[POSITIVE, NEGATIVE, IGNORED, POSITIVE, POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE]])
    keys = tf.constant([[0.9, 0.1, 0.0, 0.2, 0.3, 0.8, 0.5, 0.4]])
    chosen = Sampler(4, 0.5).sample(state, keys)
    assert chosen.index.numpy().tolist() == [[3, 4, 1, 7]]
    assert chosen.positive.numpy().tolist() == [[True, True, False, False]]
    assert chosen.valid.numpy().all()


def test_negatives_fill_what_positives_leave_and_slots_stay_empty():
    state = tf.constant([[NEGATIVE, POSITIVE, NEGATIVE, IGNORED], [IGNORED] * 4, [NEGATIVE] * 4])
    keys = tf.broadcast_to(tf.range(4.0), [3, 4])
    chosen = Sampler(6, 0.5).sample(state, keys)
    assert chosen.index[0].numpy().tolist() == [1, 0, 2, 0, 0, 0]
    assert chosen.positive.numpy().sum(axis=1).tolist() == [1, 0, 0]
    assert chosen.valid.numpy().sum(axis=1).tolist() == [3, 0, 4]
    assert chosen.index[2, :4].numpy().tolist() == [0, 1, 2, 3]


def test_random_keys_sample_evenly():
    state = tf.constant([[POSITIVE] * 10 + [NEGATIVE] * 30])
    counts = np.zeros(40)
    for step in range(300):
        chosen = Sampler(8, 0.25).sample(state, tf.random.stateless_uniform([1, 40], [5, step]))
        counts[chosen.index.numpy()[0]] += 1
    assert counts[:10].sum() == 600 and counts[10:].sum() == 1800
    assert 30 < counts[:10].min() and counts[:10].max() < 95 and 30 < counts[10:].min() and counts[10:].max() < 95
