"""Resizing of images, mirrored and padded, in plain TensorFlow."""

import tensorflow as tf


def resize(images, size, flip, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded.

    Args:
      images: list of B, uint8 [h, w, 3], each of a size of its own.
      size: int32 [B, 2], height H and width W to resize to, px.
      flip: bool [B], mirrors left and right.
      padded: int32 [2], height and width of the results, at least every `size`, px; None: the largest `size`.

    Returns:
      uint8 [B, padded height, padded width, 3]: each image at the top left, zeros beyond it.
    """
    size = tf.convert_to_tensor(size, tf.int32)
    padded = tf.reduce_max(size, axis=0) if padded is None else tf.convert_to_tensor(padded, tf.int32)
    return tf.stack([_resize(image, size[i], flip[i], padded) for i, image in enumerate(images)])


def _resize(image, size, flip, padded):
    # The source is mirrored, not the result: sums in another order may round the other way.
    image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: tf.identity(image))
    resized = tf.cast(tf.image.resize(image, size) + 0.5, tf.uint8)  # values are 0 … 255, so this rounds
    missing = padded - size
    return tf.pad(resized, [[0, missing[0]], [0, missing[1]], [0, 0]])
