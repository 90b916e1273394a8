"""Sampling: sizes, order, keys, and what the samples are to learn."""

import numpy as np
import tensorflow as tf

from awsdet.detection.boxes import BoxCoder
from awsdet.detection.matching import GroundTruth
from awsdet.detection.sampling import Sampler
from awsdet.ops.match import Match

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def sample(sampler, state, keys, **options):
    """The Sample of candidates with these states, positives of the only object of each image."""
    state = np.array(state)
    images, count = state.shape
    matched = Match(state == POSITIVE, state == NEGATIVE, np.zeros_like(state, np.int32))
    truth = GroundTruth(tf.ones([images, 1, 4]), tf.ones([images, 1], tf.int32), None, None)
    return sampler.sample(matched, keys, tf.zeros([count, 4]), truth, BoxCoder(), **options)


def test_takes_the_smallest_keys_positives_first():
    state = [[POSITIVE, NEGATIVE, IGNORED, POSITIVE, POSITIVE, NEGATIVE, NEGATIVE, NEGATIVE]]
    keys = tf.constant([[0.9, 0.1, 0.0, 0.2, 0.3, 0.8, 0.5, 0.4]])
    chosen = sample(Sampler(4, 0.5), state, keys)
    assert chosen.index.numpy().tolist() == [[3, 4, 1, 7]]
    assert chosen.positive.numpy().tolist() == [[True, True, False, False]]
    assert chosen.valid.numpy().all() and chosen.counts.numpy().tolist() == [[2, 2]]


def test_negatives_fill_what_positives_leave_and_slots_stay_empty():
    state = [[NEGATIVE, POSITIVE, NEGATIVE, IGNORED], [IGNORED] * 4, [NEGATIVE] * 4]
    keys = tf.broadcast_to(tf.range(4.0), [3, 4])
    chosen = sample(Sampler(6, 0.5), state, keys)
    assert chosen.index[0].numpy().tolist() == [1, 0, 2, 0, 0, 0]
    assert chosen.positive.numpy().sum(axis=1).tolist() == [1, 0, 0]
    assert chosen.valid.numpy().sum(axis=1).tolist() == [3, 0, 4]
    assert chosen.index[2, :4].numpy().tolist() == [0, 1, 2, 3]


def test_random_keys_sample_evenly():
    state = [[POSITIVE] * 10 + [NEGATIVE] * 30]
    counts = np.zeros(40)
    for step in range(300):
        chosen = sample(Sampler(8, 0.25), state, tf.random.stateless_uniform([1, 40], [5, step]))
        counts[chosen.index.numpy()[0]] += 1
    assert counts[:10].sum() == 600 and counts[10:].sum() == 1800
    assert 30 < counts[:10].min() and counts[:10].max() < 95 and 30 < counts[10:].min() and counts[10:].max() < 95


def test_positives_learn_the_class_and_the_deltas_of_their_object():
    truth = GroundTruth(tf.constant([[[9.0, 9, 9, 9], [10, 20, 30, 60]]]), tf.constant([[7, 5]]), None, None)
    candidates = tf.constant([[0.0, 0, 8, 8], [12, 22, 28, 50], [1, 1, 5, 5]])
    matched = Match([[False, True, False]], [[True, False, False]], [[0, 1, 0]])
    coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
    chosen = Sampler(4, 0.5).sample(matched, tf.zeros([1, 3]), candidates, truth, coder, background=9)
    assert chosen.labels.numpy().tolist() == [[5, 9, 9, 9]] and chosen.truth.numpy().tolist() == [[1, 0, 0, 0]]
    np.testing.assert_array_equal(chosen.boxes[0], [[12, 22, 28, 50], [0, 0, 8, 8], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(chosen.deltas[0, 0], coder.encode(truth.boxes[0, 1], candidates[1]), rtol=1e-6)
    assert not chosen.deltas[0, 1:].numpy().any() and not chosen.is_object.numpy().any()


def test_objects_come_before_the_candidates():
    truth = GroundTruth(tf.constant([[[9.0, 9, 12, 15]]]), tf.constant([[7]]), None, None)
    matched = Match([[True, False]], [[False, True]], [[0, 0]])
    keys, candidates = tf.zeros([1, 2]), tf.constant([[[0.0, 0, 8, 8]]])
    chosen = Sampler(3, 0.5).sample(matched, keys, candidates, truth, BoxCoder(), background=9, with_truth=True)
    np.testing.assert_array_equal(chosen.boxes[0], [[9, 9, 12, 15], [0, 0, 8, 8], [0, 0, 0, 0]])
    assert chosen.is_object.numpy().tolist() == [[True, False, False]]
    assert chosen.labels.numpy().tolist() == [[7, 9, 9]] and not chosen.deltas.numpy().any()
