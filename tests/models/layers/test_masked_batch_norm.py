"""Batch norm of the real RoIs among padded ones, against a slow definition in float64."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.layers import norms
from awsdet.models.layers.conv import Conv
from awsdet.models.layers.initializers import Initializers
from awsdet.runtime.world import World

RANDOM = np.random.default_rng(12)
REAL = np.array([True, True, False, True, False])
SHAPE = (5, 2, 3, 4)
STORED = (np.array([1.0, -2.0, 0.0, 5.0]), np.array([0.5, 2.0, 1.0, 9.0]))


def definition(features, gamma, beta, real, stored):
    """(outputs, mean, unbiased variance) from the real rows, one channel after another. All float64."""
    outputs, statistics = np.zeros_like(features), [np.array(part, np.float64) for part in stored]
    for channel in range(features.shape[3]):
        pixels = np.concatenate([row[:, :, channel].ravel() for row, counts in zip(features, real) if counts] or [[]])
        if not len(pixels):
            continue
        mean = sum(pixels) / len(pixels)
        squares = sum((pixel - mean) ** 2 for pixel in pixels)
        statistics[0][channel], statistics[1][channel] = mean, squares / max(len(pixels) - 1, 1)
        standard = (features[..., channel] - mean) / np.sqrt(squares / len(pixels) + 1e-5)
        outputs[..., channel] = np.where(real[:, None, None], standard * gamma[channel] + beta[channel], 0.0)
    return outputs, *statistics


def slopes(function, *arguments, step=1e-5):
    """The gradient of a scalar function by central differences, for each of its float64 arguments."""
    found = []
    for argument in arguments:
        slope = np.zeros_like(argument)
        for place in np.ndindex(argument.shape):
            before = argument[place]
            argument[place] = before + step
            above = function(*arguments)
            argument[place] = before - step
            slope[place] = (above - function(*arguments)) / (2 * step)
            argument[place] = before
        found.append(slope)
    return found


def ours(features, gamma, beta, real, upstream=None, stored=STORED):
    """(outputs, mean, variance, gradients of features, gamma and beta)."""
    inputs = [features, *(tf.constant(part, tf.float32) for part in (gamma, beta))]
    stored = [tf.constant(part, tf.float32) for part in stored]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, *statistics = norms.masked_batch_norm(*inputs, tf.constant(real), *stored, World(), "a")
    return outputs, *statistics, *tape.gradient(outputs, inputs, output_gradients=upstream)


@pytest.mark.parametrize("centre", [0.0, 30.0])
@pytest.mark.parametrize("real", [REAL, np.array([False] * 4 + [True]), np.ones(5, bool)], ids=["some", "one", "all"])
@pytest.mark.parametrize("dtype, error", [(tf.float32, 2e-5), (tf.bfloat16, 0.02), (tf.float16, 3e-3)])
def test_it_equals_its_definition(dtype, error, real, centre):
    """Outputs, statistics and gradients. With 30, the stored means are far from those of the features."""
    features = tf.cast(RANDOM.normal(centre, 3.0, SHAPE), dtype)
    upstream = tf.cast(RANDOM.normal(size=SHAPE), dtype)
    gamma, beta = RANDOM.uniform(0.5, 1.5, 4), RANDOM.normal(size=4)
    exact, weights = (tensor.numpy().astype(np.float64) for tensor in (features, upstream))
    outputs, mean, variance, *gradients = ours(features, gamma, beta, real, upstream)
    expected, expected_mean, expected_variance = definition(exact, gamma, beta, real, STORED)
    expected_gradients = slopes(
        lambda *inputs: np.sum(definition(*inputs, real, STORED)[0] * weights), exact, gamma, beta
    )
    assert outputs.dtype == gradients[0].dtype == dtype
    for found, wanted in zip([outputs, *gradients], [expected, *expected_gradients]):
        assert np.abs(found.numpy().astype(np.float64) - wanted).max() < error * np.abs(wanted).max()
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(variance, expected_variance, rtol=1e-4)


@pytest.mark.parametrize("junk", [1e4, np.inf, np.nan])
def test_padded_rows_do_not_change_a_digit(junk):
    gamma, beta = RANDOM.normal(size=4), RANDOM.normal(size=4)
    features, upstream = RANDOM.normal(size=SHAPE), RANDOM.normal(size=SHAPE)
    results = []
    for value in (0.0, junk):
        features[~REAL], upstream[~REAL] = value, value
        results.append(ours(tf.constant(features, tf.float16), gamma, beta, REAL, tf.constant(upstream, tf.float16)))
    for first, second in zip(*results):
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(first).all()
    assert not results[0][0].numpy()[~REAL].any() and not results[0][3].numpy()[~REAL].any()


def conv(norm, name="a", **options):
    options = {"initializer": Initializers(1).kaiming_normal(name), "dtype": "float32", **options}
    layer = Conv(4, 6, 3, name=name, norm=norm, relu=True, **options)
    layer.gamma.assign(np.linspace(0.5, 1.5, 6))
    layer.mean.assign(np.linspace(-1, 1, 6))
    return layer


@pytest.mark.parametrize("norm", norms.LIVE_NORMS)
def test_a_layer_counts_the_real_rows_only(norm):
    """As a layer that gets nothing else, in outputs, gradients and running statistics."""
    masked, plain = conv(norm), conv(norm)
    features = tf.constant(RANDOM.normal(size=(5, 4, 4, 4)), tf.float32)
    rows = np.flatnonzero(REAL)

    def step(layer, features, **options):
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer(features, training=True, **options)
            loss = tf.reduce_sum(tf.sin(outputs))
        return outputs, tape.gradient(loss, [features, *layer.trainable_variables])

    for _ in range(2):
        outputs, (inputs, *gradients) = step(masked, features, real=tf.constant(REAL))
        expected, (expected_inputs, *expected_gradients) = step(plain, tf.gather(features, rows))
        np.testing.assert_allclose(outputs.numpy()[rows], expected, atol=1e-5)
        np.testing.assert_allclose(inputs.numpy()[rows], expected_inputs, atol=1e-5)
        assert not inputs.numpy()[~REAL].any()
        for one, other in zip(gradients, expected_gradients):
            np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())
        for one, other in ((masked.mean, plain.mean), (masked.variance, plain.variance)):
            np.testing.assert_allclose(one, other, atol=1e-6)
    assert np.abs(masked.mean - np.linspace(-1, 1, 6)).max() > 0.01
    # Finding objects takes the stored statistics, whatever is real.
    np.testing.assert_array_equal(masked(features, real=tf.constant(REAL)), masked(features))


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_without_a_real_row_nothing_happens(dtype):
    layer = conv("sync_batch_norm", dtype=tf.keras.mixed_precision.Policy(dtype))
    before = [variable.numpy() for variable in layer.variables]
    features = tf.fill([3, 4, 4, 4], tf.constant(1e4, layer.compute_dtype))
    with tf.GradientTape() as tape:
        tape.watch(features)
        outputs = layer(features, training=True, real=tf.zeros([3], tf.bool))
        loss = tf.reduce_sum(outputs * 3)
    assert not outputs.numpy().any()
    for gradient in tape.gradient(loss, [features, *layer.trainable_variables]):
        assert not gradient.numpy().any()
    for variable, value in zip(layer.variables, before):
        np.testing.assert_array_equal(variable, value)
