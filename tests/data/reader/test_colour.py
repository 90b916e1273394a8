"""Colour operations against Pillow's and Python's own, and what they must not change."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from awsdet.data.reader import colour

OPERATIONS = [colour.brightness, colour.contrast, colour.saturation, colour.hue]
ENHANCERS = {
    colour.brightness: ImageEnhance.Brightness,
    colour.contrast: ImageEnhance.Contrast,
    colour.saturation: ImageEnhance.Color,
}


def batch_of(sizes, canvas=(40, 48), seed=0):
    """uint8 [B, *canvas, 3] noise of the sizes at the top left, zeros beyond; int32 [B, 2]."""
    rng, images = np.random.default_rng(seed), np.zeros((len(sizes), *canvas, 3), np.uint8)
    for image, (height, width) in zip(images, sizes):
        image[:height, :width] = rng.integers(0, 256, (height, width, 3))
    return images, np.array(sizes, np.int32)


def applied(operation, images, amounts, sizes):
    found = operation(tf.constant(images), tf.constant(amounts, tf.float32), tf.constant(sizes))
    assert found.dtype == tf.uint8 and found.shape == images.shape
    return found.numpy()


@pytest.mark.parametrize("operation", ENHANCERS)
def test_factors_are_those_of_pillow(operation):
    images, sizes = batch_of([(40, 48), (17, 30), (1, 1)])
    for factor in (0.0, 0.3, 1.0, 1.7):
        found = applied(operation, images, [factor] * 3, sizes)
        for image, other, (height, width) in zip(images, found, sizes):
            source = Image.fromarray(image[:height, :width])
            expected = np.asarray(ENHANCERS[operation](source).enhance(factor)).astype(int)
            # Pillow rounds the grey before it goes on, and cuts fractions off.
            assert np.abs(other[:height, :width] - expected).max() <= 2


def test_hues_are_those_of_colorsys():
    images, sizes = batch_of([(5, 7)], canvas=(5, 7))
    for turn in (-0.5, -0.2, 0.0, 0.1, 0.5):
        found = applied(colour.hue, images, [turn], sizes)
        for pixel, other in zip(images.reshape(-1, 3), found.reshape(-1, 3)):
            h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
            expected = np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
            np.testing.assert_allclose(other, expected, atol=0.51)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_padding_stays_zero_and_images_do_not_touch_one_another(operation):
    images, sizes = batch_of([(20, 30), (40, 11), (1, 48)])
    amounts = [0.4, 0.1, 0.3] if operation is colour.hue else [1.6, 0.2, 0.7]
    found = applied(operation, images, amounts, sizes)
    for row, (height, width) in enumerate(sizes):
        assert not found[row, height:].any() and not found[row, :, width:].any()
        alone = applied(operation, images[row : row + 1], amounts[row : row + 1], sizes[row : row + 1])
        np.testing.assert_array_equal(found[row], alone[0])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_neutral_amount_changes_nothing(operation):
    images, sizes = batch_of([(40, 48), (17, 30)])
    neutral = 0.0 if operation is colour.hue else 1.0
    np.testing.assert_array_equal(applied(operation, images, [neutral] * 2, sizes), images)


def test_by_hand():
    image = np.array([[[[100, 50, 250]]]], np.uint8)
    one = np.array([[1, 1]], np.int32)
    assert applied(colour.brightness, image, [1.5], one).tolist() == [[[[150, 75, 255]]]]
    grey = 0.299 * 100 + 0.587 * 50 + 0.114 * 250
    assert applied(colour.saturation, image, [0.0], one).tolist() == [[[[round(grey)] * 3]]]
    pair = np.array([[[[10] * 3, [30] * 3]]], np.uint8)
    assert applied(colour.contrast, pair, [2.0], np.array([[1, 2]], np.int32))[0, 0, :, 0].tolist() == [0, 40]
