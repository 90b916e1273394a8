"""Resizing of images, mirrored, cropped and padded, in plain TensorFlow."""

import tensorflow as tf

from awsdet.ops.placement import Placement


def resize(images, placement, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded; as `awsdet.ops.resize.resize`."""
    placement = Placement(*map(tf.convert_to_tensor, placement))
    padded = tf.reduce_max(placement.window, axis=0) if padded is None else tf.convert_to_tensor(padded, tf.int32)
    return tf.stack(
        [_resize(image, Placement(*(part[i] for part in placement)), padded) for i, image in enumerate(images)]
    )


def _resize(image, placement, padded):
    # The source is mirrored, not the result: sums in another order may round the other way.
    image = tf.cond(placement.flip, lambda: tf.reverse(image, [1]), lambda: tf.identity(image))
    resized = tf.cast(tf.image.resize(image, placement.size) + 0.5, tf.uint8)  # values are 0 … 255, so this rounds
    (top, left), (height, width) = placement.corner, placement.window
    window = resized[top : top + height, left : left + width]
    missing = padded - placement.window
    return tf.pad(window, [[0, missing[0]], [0, missing[1]], [0, 0]])
