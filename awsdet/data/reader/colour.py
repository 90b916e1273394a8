"""Colours of images changed in place, in TensorFlow: the four operations of torchvision's ColorJitter.

Each takes uint8 [B, H, W, 3] RGB, float32 [B] by how much, and int32 [B, 2] the valid height and width of each image,
beyond which pixels are and stay 0; and gives uint8 of the same shape, rounded.
"""

import tensorflow as tf

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


def brightness(images, factor, valid):
    """Multiplied by the factor: 0 is black, 1 leaves the image as it is."""
    return _bytes(tf.cast(images, tf.float32) * _each(factor))


def contrast(images, factor, valid):
    """Moved away from the image's mean grey by the factor, or towards it if that is below 1."""
    values = tf.cast(images, tf.float32)
    pixels = tf.cast(tf.reduce_prod(valid, axis=1), tf.float32)
    mean = _each(tf.reduce_sum(_grey(values), axis=[1, 2, 3]) / pixels)  # the padding adds nothing to the sum
    inside = tf.sequence_mask(valid[:, 0], tf.shape(images)[1])[:, :, tf.newaxis, tf.newaxis]
    inside &= tf.sequence_mask(valid[:, 1], tf.shape(images)[2])[:, tf.newaxis, :, tf.newaxis]
    return tf.where(inside, _bytes(mean + (values - mean) * _each(factor)), tf.zeros_like(images))


def saturation(images, factor, valid):
    """Each pixel moved away from its grey by the factor: 0 is grey, 1 leaves the image as it is."""
    values = tf.cast(images, tf.float32)
    grey = _grey(values)
    return _bytes(grey + (values - grey) * _each(factor))


def hue(images, turn, valid):
    """Hues moved along the colour circle by a share of it: 1 and 0 leave the image as it is."""
    values = tf.unstack(tf.cast(images, tf.float32))
    return _bytes(tf.stack([tf.image.adjust_hue(value, turn[i]) for i, value in enumerate(values)]))


def _each(factor):
    return factor[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _grey(values):
    return tf.reduce_sum(values * tf.constant(_LUMA), axis=3, keepdims=True)


def _bytes(values):
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0) + 0.5, tf.uint8)
