"""Resizing of an image, mirrored and padded, in plain TensorFlow."""

import tensorflow as tf


def resize(image, size, flip, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded.

    Args:
      image: uint8 [h, w, 3].
      size: int32 [2], height H and width W to resize to, px.
      flip: bool scalar, mirrors left and right.
      padded: int32 [2], height and width of the result, at least `size`, px; None: `size`.

    Returns:
      uint8 [padded height, padded width, 3]: the image at the top left, zeros beyond it.
    """
    size = tf.convert_to_tensor(size, tf.int32)
    padded = size if padded is None else tf.convert_to_tensor(padded, tf.int32)
    # The source is mirrored, not the result: sums in another order may round the other way.
    image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: tf.identity(image))
    resized = tf.cast(tf.image.resize(image, size) + 0.5, tf.uint8)  # values are 0 … 255, so this rounds
    missing = padded - size
    return tf.pad(resized, [[0, missing[0]], [0, missing[1]], [0, 0]])
