"""Layers against Keras' and TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.layers import norms
from awsdet.models.layers.conv import Conv
from awsdet.models.layers.dense import Dense
from awsdet.models.layers.initializers import Initializers
from awsdet.models.layers.upsample import Upsample, interleave, upsample_nearest
from awsdet.runtime.world import World

RANDOM = np.random.default_rng(4)


def conv(norm, **options):
    initializer = Initializers(1).kaiming_normal("a")
    return Conv(6, 32, 3, norm=norm, name="a", dtype="float32", initializer=initializer, **options)


def features(size=(2, 8, 10, 6)):
    return tf.constant(RANDOM.normal(size=size).astype(np.float32))


def randomize(layer):
    for variable in (layer.gamma, layer.beta, layer.mean):
        variable.assign(RANDOM.normal(size=variable.shape))
    layer.variance.assign(RANDOM.uniform(0.5, 2, size=layer.variance.shape))


def test_frozen_batch_norm_equals_convolution_then_batch_norm():
    layer = conv("frozen_batch_norm", strides=2, relu=True)
    randomize(layer)
    inputs = features()
    padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    plain = tf.nn.conv2d(padded, layer.kernel, 2, "VALID")
    expected = tf.nn.batch_normalization(plain, layer.mean, layer.variance, layer.beta, layer.gamma, 1e-5)
    np.testing.assert_allclose(layer(inputs, training=True), tf.nn.relu(expected), atol=2e-5)
    assert {v.name for v in layer.trainable_variables} == {"a.kernel:0", "a.gamma:0", "a.beta:0"}
    assert {v.name for v in conv("frozen_batch_norm", affine=False).trainable_variables} == {"a.kernel:0"}


@pytest.mark.parametrize("norm", norms.NORMS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_residual_is_added_before_the_relu(norm, compiled):
    plain, layer = conv(norm), conv(norm, relu=True)
    layer.compiled_bias = compiled
    inputs, residual = features(), features((2, 8, 10, 32))
    for training in (False, True):
        expected = tf.nn.relu(plain(inputs, training=training) + residual)
        np.testing.assert_allclose(layer(inputs, training=training, residual=residual), expected, atol=1e-5)


def test_only_what_is_trained_has_gradients():
    """A frozen layer, and a norm without trainable gamma and beta, have none; the input always has."""
    inputs = features()
    for options, trained in (({}, True), ({"affine": False}, False), ({"frozen": True}, False)):
        frozen = options.pop("frozen", False)
        layer = conv("frozen_batch_norm", relu=True, **options)
        layer.trainable = not frozen
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        found = tape.gradient(outputs, [inputs, layer.gamma, layer.beta, layer.mean])
        assert [gradient is not None for gradient in found] == [True, trained, trained, False]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_compiled_biases_equal_tensorflow_s(precision):
    """Outputs and gradients of each layer that has a bias; on a GPU they are added by the compiled operator."""
    options = {"name": "a", "dtype": precision, "initializer": Initializers(1).kaiming_normal("a")}
    for layer, shape in (
        (Conv(6, 32, 3, relu=True, **options), (2, 8, 10, 6)),
        (Dense(6, 12, relu=True, **options), (7, 6)),
        (Dense(6, 5, **options), (7, 6)),
        (Upsample(6, 5, **options), (3, 4, 7, 6)),
    ):
        lowly = precision == "mixed_bfloat16" and not isinstance(layer, Conv)
        assert layer.compiled_bias == lowly  # on a CPU; a convolution decides for each call
        layer.bias.assign(RANDOM.normal(size=layer.bias.shape))
        inputs, found, signs = features(shape), [], []
        for layer.compiled_bias in (False, True):
            signs.append(layer(inputs) > 0)
        # Where rounding decides whether ReLU lets an output through, the gradients rightly differ.
        alike = tf.cast(signs[0] == signs[1], tf.as_dtype(layer.compute_dtype))
        assert tf.reduce_mean(tf.cast(alike, tf.float32)) > 0.95
        for layer.compiled_bias in (False, True):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs)
            found.append([outputs, *tape.gradient(outputs, [inputs, layer.bias, layer.kernel], alike)])
        error = 1e-5 if precision == "float32" else 0.02
        for theirs, ours in zip(*found):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            ours, theirs = (tf.cast(part, tf.float32).numpy() for part in (ours, theirs))
            np.testing.assert_allclose(ours, theirs, rtol=error, atol=error * np.abs(theirs).max())


def test_the_gradient_of_a_bfloat16_bias_is_summed_in_float32():
    """In bfloat16 a sum of ones stops at 256."""
    options = {"name": "a", "dtype": "mixed_bfloat16", "initializer": Initializers(1).kaiming_normal("a")}
    for layer, shape in ((Conv(6, 5, 1, **options), (1, 64, 64, 6)), (Dense(6, 5, **options), (4096, 6))):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(tf.cast(layer(features(shape), training=True), tf.float32))
        np.testing.assert_array_equal(tape.gradient(total, layer.bias), [4096.0] * 5)


def test_live_batch_norm_equals_keras():
    layer, theirs = conv("batch_norm"), tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    inputs = features()
    plain = tf.nn.conv2d(inputs, layer.kernel, 1, "SAME")
    for _ in range(3):
        np.testing.assert_allclose(layer(inputs, training=True), theirs(plain, training=True), atol=2e-5)
    np.testing.assert_allclose(layer.mean, theirs.moving_mean, atol=1e-6)
    np.testing.assert_allclose(layer.variance, theirs.moving_variance, atol=1e-6)
    np.testing.assert_allclose(layer(inputs), theirs(plain), atol=2e-5)
    layer.trainable = False
    before = layer.mean.numpy()
    np.testing.assert_allclose(layer(inputs, training=True), theirs(plain), atol=2e-5)
    np.testing.assert_array_equal(layer.mean, before)


def test_group_norm_equals_keras():
    layer = conv("group_norm")
    layer.gamma.assign(RANDOM.normal(size=32))
    layer.beta.assign(RANDOM.normal(size=32))
    theirs = tf.keras.layers.GroupNormalization(groups=32, epsilon=1e-5)
    theirs.build([None, None, None, 32])
    theirs.gamma.assign(layer.gamma)
    theirs.beta.assign(layer.beta)
    inputs = features()
    np.testing.assert_allclose(layer(inputs), theirs(tf.nn.conv2d(inputs, layer.kernel, 1, "SAME")), atol=2e-5)


@pytest.mark.parametrize("channels, groups", [(64, 32), (48, 16), (6, 2)])
@pytest.mark.parametrize("dtype, error", [(tf.float32, 1e-5), (tf.bfloat16, 0.02), (tf.float16, 2e-3)])
def test_group_norm_equals_its_definition(channels, groups, dtype, error):
    """For features far from zero, for which statistics in low precision would be too inexact."""
    inputs = tf.cast(RANDOM.normal(20.0, 1.0, (2, 5, 7, channels)), dtype)
    gamma, beta = RANDOM.normal(size=channels), RANDOM.normal(size=channels)
    grouped = inputs.numpy().astype(np.float64).reshape(2, 35, groups, -1)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(inputs.shape) * gamma + beta
    ours = norms.group_norm(inputs, tf.constant(gamma, tf.float32), tf.constant(beta, tf.float32))
    assert ours.dtype == dtype
    assert np.abs(ours.numpy().astype(np.float64) - expected).max() < error * np.abs(expected).max()


def test_sync_batch_norm_of_one_process_is_batch_norm():
    synced, plain = conv("sync_batch_norm"), conv("batch_norm")
    inputs = features()
    np.testing.assert_array_equal(synced(inputs, training=True), plain(inputs, training=True))
    np.testing.assert_array_equal(synced.variance, plain.variance)


@pytest.mark.parametrize("dtype, error", [(tf.float32, 1e-5), (tf.bfloat16, 0.02), (tf.float16, 2e-3)])
def test_sync_batch_norm_equals_its_definition(dtype, error):
    """For features far from zero, with a shift near their mean and one far from it."""
    inputs = tf.cast(RANDOM.normal(10.0, 1.0, (2, 9, 7, 6)), dtype)
    upstream = tf.cast(RANDOM.normal(size=inputs.shape), dtype)
    gamma, beta = (tf.constant(RANDOM.normal(size=6), tf.float32) for _ in range(2))
    values, weights = (t.numpy().astype(np.float64).reshape(-1, 6) for t in (inputs, upstream))
    mean, variance = values.mean(axis=0), values.var(axis=0)
    standard = (values - mean) / np.sqrt(variance + 1e-5)
    projected = weights - weights.mean(axis=0) - standard * (weights * standard).mean(axis=0)
    expected = {
        "outputs": standard * gamma + beta,
        "inputs' gradient": gamma / np.sqrt(variance + 1e-5) * projected,
        "gamma's gradient": (weights * standard).sum(axis=0),
        "beta's gradient": weights.sum(axis=0),
    }
    for shift in (0.0, 10.5):
        with tf.GradientTape() as tape:
            tape.watch([inputs, gamma, beta])
            shifts = tf.fill([6], shift)
            outputs, ours_mean, ours_variance = norms.sync_batch_norm(inputs, gamma, beta, shifts, World(), "a")
        gradients = tape.gradient(outputs, [inputs, gamma, beta], output_gradients=upstream)
        for (name, theirs), ours in zip(expected.items(), [outputs, *gradients]):
            ours = ours.numpy().astype(np.float64).reshape(theirs.shape)
            assert np.abs(ours - theirs).max() < error * np.abs(theirs).max(), name
        np.testing.assert_allclose(ours_mean, mean, rtol=1e-5)
        np.testing.assert_allclose(ours_variance, values.var(axis=0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("groups, strides", [(2, 1), (4, 2), (8, 1)])
@pytest.mark.parametrize("splits", [False, True])
def test_groups_equal_a_convolution_for_each(groups, strides, splits):
    """Forward and gradients, in a graph for any size, with and without TensorFlow's own groups."""
    layer = Conv(
        16,
        24,
        3,
        strides=strides,
        groups=groups,
        name="a",
        dtype="float32",
        initializer=Initializers(1).kaiming_normal("a"),
    )
    if layer.splits_groups and not splits:
        pytest.skip("this TensorFlow has no gradient of groups")
    layer.splits_groups = splits

    def gradients(function, inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
            total = tf.reduce_sum(tf.sin(outputs))
        return outputs, *tape.gradient(total, [inputs, layer.kernel])

    def dense(inputs):
        """One convolution whose kernel is zero between groups."""
        own = tf.split(layer.kernel, groups, axis=3)
        inside, outside = 16 // groups, 24 // groups
        rows = [tf.pad(k, [[0, 0], [0, 0], [0, 0], [g * outside, 24 - (g + 1) * outside]]) for g, k in enumerate(own)]
        assert rows[0].shape[2] == inside
        padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return tf.nn.conv2d(padded, tf.concat(rows, axis=2), strides, "VALID")

    graph = tf.function(
        lambda inputs: gradients(layer, inputs), input_signature=[tf.TensorSpec([None, None, None, 16])]
    )
    for size in ((2, 8, 10, 16), (3, 7, 5, 16)):
        inputs = features(size)
        for ours, theirs in zip(graph(inputs), gradients(dense, inputs)):
            np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max(), rtol=1e-4)


def test_upsample_nearest_repeats():
    inputs = features((1, 2, 3, 4))
    np.testing.assert_array_equal(upsample_nearest(inputs, 4), np.repeat(np.repeat(inputs, 4, axis=1), 4, axis=2))


def test_upsample_equals_transposed_convolution():
    layer = Upsample(6, 5, name="up", dtype="float32", initializer=Initializers(1).kaiming_normal("up"))
    layer.bias.assign(RANDOM.normal(size=5))
    inputs = features((3, 4, 7, 6))
    kernel = tf.transpose(layer.kernel, [1, 2, 3, 0])
    expected = tf.nn.conv2d_transpose(inputs, kernel, [3, 8, 14, 5], 2, "VALID") + layer.bias
    np.testing.assert_allclose(interleave(layer(inputs)), tf.nn.relu(expected), atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_variables_stay_float32_in_mixed_precision(precision):
    for norm in ("none", "frozen_batch_norm", "batch_norm", "group_norm"):
        layer = Conv(6, 32, 3, norm=norm, name="a", dtype=precision, initializer=Initializers(1).kaiming_normal("a"))
        outputs = layer(features(), training=True)
        assert outputs.dtype == layer.compute_dtype and {v.dtype for v in layer.variables} == {tf.float32}
        reference = conv(norm)
        reference.kernel.assign(layer.kernel)
        expected = reference(features((2, 8, 10, 6)) * 0 + 1, training=True)
        ours = layer(tf.ones([2, 8, 10, 6]), training=True)
        np.testing.assert_allclose(tf.cast(ours, tf.float32), expected, atol=0.15)


def test_initial_weights_depend_on_seed_and_name_only():
    initializers = Initializers(3)
    first = initializers.kaiming_normal("x")([3, 3, 4, 4])
    np.testing.assert_array_equal(first, Initializers(3).kaiming_normal("x")([3, 3, 4, 4]))
    assert np.any(first != Initializers(3).kaiming_normal("y")([3, 3, 4, 4]))
    assert np.any(first != Initializers(4).kaiming_normal("x")([3, 3, 4, 4]))


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm is 'layer'"):
        conv("layer")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_convolution_of_several_maps_is_that_of_each(precision):
    policy = tf.keras.mixed_precision.Policy(precision)
    for options in ({"relu": True}, {"norm": "frozen_batch_norm"}):
        conv = Conv(4, 6, 3, name="conv", dtype=policy, initializer=Initializers(1).kaiming_normal("conv"), **options)
        maps = [tf.random.stateless_normal([2, *size, 4], (1, 2)) for size in ((5, 3), (1, 1))]
        maps = [tf.cast(features, policy.compute_dtype) for features in maps]
        together = conv.call_each(maps)
        assert len(together) == 2
        for features, ours in zip(maps, together):
            np.testing.assert_array_equal(tf.cast(ours, tf.float32), tf.cast(conv(features), tf.float32))
