"""One of several outputs per row against a gather, forward and gradient."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.layers.picking import pick


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("rows", [1, 50])
def test_is_a_gather(rows, dtype):
    random = np.random.default_rng(rows)
    outputs = tf.cast(random.normal(size=(rows, 4, 3)), dtype)
    index, weights = tf.constant(random.integers(0, 4, rows), tf.int32), tf.cast(random.normal(size=(rows, 3)), dtype)
    chosen = tf.one_hot(index, 4, on_value=True, off_value=False)[..., tf.newaxis]

    def with_gradient(function):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            found = function()
        return found, tf.convert_to_tensor(tape.gradient(found, outputs, weights))

    expected = with_gradient(lambda: tf.gather(outputs, index, batch_dims=1))
    for ours, theirs in zip(with_gradient(lambda: pick(outputs, chosen)), expected):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


def test_no_rows():
    outputs = tf.zeros([0, 4, 3])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        picked = pick(outputs, tf.zeros([0, 4, 1], tf.bool))
    assert picked.shape == [0, 3] and tape.gradient(picked, outputs).shape == [0, 4, 3]


def test_other_outputs_do_not_matter():
    outputs = tf.constant([[[np.inf], [2.0], [np.nan]]])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        picked = pick(outputs, tf.constant([[[False], [True], [False]]]))
    np.testing.assert_array_equal(picked, [[2]])
    np.testing.assert_array_equal(tape.gradient(picked, outputs), [[[0], [1], [0]]])
