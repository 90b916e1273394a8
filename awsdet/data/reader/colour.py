"""Colours of images changed in place, in TensorFlow: the four operations of torchvision's ColorJitter.

Each takes uint8 [B, H, W, 3] RGB, float32 [B] by how much, and int32 [B, 2] the valid height and width of each image,
beyond which pixels are and stay 0; and gives uint8 of the same shape, rounded.
"""

import tensorflow as tf

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


def brightness(images, factor, valid):
    """Multiplied by the factor: 0 is black, 1 leaves the image as it is."""
    return _bytes(tf.cast(images, tf.float32) * factor[:, tf.newaxis, tf.newaxis, tf.newaxis])


def contrast(images, factor, valid):
    """Moved away from the image's mean grey by the factor, or towards it if that is below 1."""
    shape = tf.shape(images)
    rows = tf.reshape(tf.cast(images, tf.float32), [shape[0], shape[1], -1])  # long rows: short last axes are slow
    sums = tf.reduce_sum(tf.reshape(tf.reduce_sum(rows, axis=1), [shape[0], -1, 3]), axis=1)  # the padding adds nothing
    mean = tf.linalg.matvec(sums, tf.constant(_LUMA)) / tf.cast(tf.reduce_prod(valid, axis=1), tf.float32)
    added = tf.sequence_mask(valid[:, 0], shape[1], tf.float32) * (mean * (1 - factor))[:, tf.newaxis]
    inside = tf.sequence_mask(3 * valid[:, 1], 3 * shape[2], tf.float32)
    changed = rows * factor[:, tf.newaxis, tf.newaxis] + added[:, :, tf.newaxis] * inside[:, tf.newaxis]
    return tf.reshape(_bytes(changed), shape)


def saturation(images, factor, valid):
    """Each pixel moved away from its grey by the factor: 0 is grey, 1 leaves the image as it is."""
    shape = tf.shape(images)
    to_grey = tf.tile(tf.constant(_LUMA)[:, tf.newaxis], [1, 3])
    factor = factor[:, tf.newaxis, tf.newaxis]
    pixels = tf.reshape(tf.cast(images, tf.float32), [shape[0], -1, 3])
    return tf.reshape(_bytes(tf.matmul(pixels, factor * tf.eye(3) + (1 - factor) * to_grey)), shape)


def hue(images, turn, valid):
    """Hues moved along the colour circle by a share of it: 1 and 0 leave the image as it is."""
    values = tf.unstack(tf.cast(images, tf.float32))
    return _bytes(tf.stack([tf.image.adjust_hue(value, turn[i]) for i, value in enumerate(values)]))


def _bytes(values):
    return tf.cast(tf.clip_by_value(values, 0.0, 255.0) + 0.5, tf.uint8)
