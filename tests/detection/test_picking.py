"""One of several outputs is taken, and only its gradient goes back."""

import numpy as np
import tensorflow as tf

from awsdet.detection.picking import picked


def test_values_and_gradients_are_those_of_a_gather():
    random = np.random.default_rng(1)
    values = tf.constant(random.normal(size=(6, 5, 4)), tf.float32)
    index = tf.constant([0, 4, 2, 2, 1, 3])
    weight = tf.constant(random.normal(size=(6, 4)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        own = picked(values, tf.one_hot(index, 5, True, False, dtype=tf.bool))
        expected = tf.gather(values, index, batch_dims=1)
        sums = tf.reduce_sum(own * weight), tf.reduce_sum(expected * weight)
    np.testing.assert_array_equal(own, expected)
    np.testing.assert_array_equal(*(tf.convert_to_tensor(tape.gradient(total, values)) for total in sums))


def test_a_row_without_a_choice_is_zero_and_nan_of_others_stays_out():
    values = tf.constant([[[1.0], [np.nan]], [[np.inf], [3.0]]])
    chosen = tf.constant([[True, False], [False, False]])
    with tf.GradientTape() as tape:
        tape.watch(values)
        taken = picked(values, chosen)
    np.testing.assert_array_equal(taken, [[1.0], [0.0]])
    np.testing.assert_array_equal(tape.gradient(taken, values)[..., 0], [[1.0, 0.0], [0.0, 0.0]])
