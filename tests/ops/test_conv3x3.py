"""The compiled 3x3 convolution against the definition in float64 and against TensorFlow's own."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import conv3x3


def operands(images, height, width, channels, filters, seed=0):
    random = np.random.default_rng(seed)
    features = np.maximum(random.normal(size=(images, height, width, channels)), 0)
    kernel = random.normal(size=(3, 3, channels, filters)) / np.sqrt(9 * channels)
    return [value.astype(np.float32) for value in (features, kernel, random.normal(size=filters))]


def conv_by_definition(features, kernel, bias, relu):
    """In float64, tap by tap."""
    height, width = features.shape[1:3]
    padded = np.pad(features.astype(np.float64), [(0, 0), (1, 1), (1, 1), (0, 0)])
    taps = [(y, x) for y in range(3) for x in range(3)]
    total = bias + sum(padded[:, y : y + height, x : x + width] @ kernel[y, x].astype(np.float64) for y, x in taps)
    return np.maximum(total, 0) if relu else total


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 16, 32),
        (3, 5, 4, 16, 32),  # one tile and a bit
        (2, 2, 9, 48, 96),
        (7, 14, 14, 64, 64),  # RoIs: blocks of tiles of several images
        (1, 33, 50, 32, 32),
        (2, 16, 24, 256, 256),
    ],
)
def test_is_the_definition_up_to_rounding(shape, relu):
    features, kernel, bias = operands(*shape)
    wanted = conv_by_definition(features, kernel, bias, relu)
    found = conv3x3.conv3x3(features, kernel, bias, relu).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("relu", [False, True])
def test_gradients_are_those_of_the_direct_convolution(relu):
    sources = [tf.constant(value) for value in operands(2, 6, 9, 16, 32)]
    weights = tf.constant(np.random.default_rng(5).normal(size=(2, 6, 9, 32)), tf.float32)

    def direct(features, kernel, bias):
        outputs = tf.nn.conv2d(features, kernel, 1, "SAME") + bias
        return tf.nn.relu(outputs) if relu else outputs

    def gradients(convolution):
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = tf.reduce_sum(convolution(*sources) * weights)
        return tape.gradient(loss, sources)

    ours = tf.function(gradients)(lambda *values: conv3x3.conv3x3(*values, relu))
    for found, expected in zip(ours, gradients(direct)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_no_images_and_no_pixels():
    for shape in ((0, 5, 5, 16, 32), (2, 0, 5, 16, 32)):
        found = conv3x3.conv3x3(*operands(*shape))
        assert found.shape == (*shape[:3], shape[4])


def test_an_image_does_not_depend_on_its_neighbours_or_on_when_it_is_computed():
    features, kernel, bias = operands(5, 13, 11, 32, 64)
    together = conv3x3.conv3x3(features, kernel, bias).numpy()
    for image in range(5):
        alone = conv3x3.conv3x3(features[image : image + 1], kernel, bias).numpy()
        np.testing.assert_array_equal(alone[0], together[image])


def test_what_is_not_finite_stays_near_where_it_is():
    features, kernel, bias = operands(1, 24, 24, 16, 32)
    wanted = conv3x3.conv3x3(features, kernel, bias, True).numpy()
    features[0, 2, 2, 3] = np.nan
    found = conv3x3.conv3x3(features, kernel, bias, True).numpy()
    assert np.isnan(found[0, 1:4, 1:4]).all()  # a ReLU does not hide it
    np.testing.assert_array_equal(found[0, 8:, 8:], wanted[0, 8:, 8:])


def test_what_it_suits():
    def suited(channels, filters, size=3):
        return conv3x3.suits(tf.zeros([size, size, channels, filters]))

    assert suited(16, 32) and suited(256, 96)
    assert not (suited(24, 32) or suited(16, 48) or suited(16, 32, size=1))


def test_wrong_arguments_are_named():
    features, kernel, bias = operands(1, 4, 4, 16, 32)
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match=r"features must be \[B, H, W, a multiple of 16\]"):
        conv3x3.conv3x3(features[..., :8], kernel[:, :, :8], bias)
    for wrong in (kernel[..., :8], kernel[:2], kernel[:, :, :8]):
        with pytest.raises(refused, match=r"kernel must be \[3, 3, 16, a multiple of 32\]"):
            conv3x3.conv3x3(features, wrong, bias)
    with pytest.raises(refused, match=r"bias must be \[32\]"):
        conv3x3.conv3x3(features, kernel, bias[:8])


def test_shapes_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 16])])
    def convolved(features):
        result = conv3x3.conv3x3(features, tf.zeros([3, 3, 16, 64]), tf.zeros([64]))
        assert result.shape.as_list() == [None, None, None, 64]
        return result

    assert convolved(tf.zeros([2, 6, 5, 16])).shape == (2, 6, 5, 64)
