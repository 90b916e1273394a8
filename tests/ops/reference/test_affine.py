"""The plain bias and stored batch norm against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.reference import affine

RANDOM = np.random.default_rng(2)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype, error", [(tf.float32, 1e-5), (tf.bfloat16, 0.02)])
def test_equals_tensorflow_s_own_operations(relu, dtype, error):
    features, residual = (tf.constant(RANDOM.normal(size=(2, 5, 6)), dtype) for _ in range(2))
    gamma, beta, mean = (tf.constant(RANDOM.normal(size=6), tf.float32) for _ in range(3))
    variance = tf.constant(RANDOM.uniform(0.1, 3, 6), tf.float32)
    wide = [tf.cast(value, tf.float32) for value in (features, residual)]
    expected = {
        "bias": tf.nn.bias_add(wide[0], beta) + wide[1],
        "norm": tf.nn.batch_normalization(wide[0], mean, variance, beta, gamma, 0.01) + wide[1],
    }
    ours = {
        "bias": affine.bias(features, beta, residual=residual, relu=relu),
        "norm": affine.batch_norm(features, gamma, beta, mean, variance, 0.01, residual=residual, relu=relu),
    }
    for name, value in expected.items():
        assert ours[name].dtype == dtype
        value = tf.nn.relu(value) if relu else value
        np.testing.assert_allclose(tf.cast(ours[name], tf.float32), value, rtol=error, atol=error)


def test_what_is_not_trainable_has_no_gradient():
    one, features = tf.ones([3]), tf.ones([4, 3])
    for trainable in (False, True):
        with tf.GradientTape() as tape:
            tape.watch([one, features])
            total = affine.bias(features, one, trainable=trainable)
        gradients = tape.gradient(total, [features, one])
        assert gradients[0] is not None and (gradients[1] is not None) == trainable
