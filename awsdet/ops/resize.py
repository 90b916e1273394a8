"""Resizes images, mirrored and padded, into one batch, by the compiled operator.

`awsdet.ops.reference.resize` holds the same in plain TensorFlow. The operator goes from bytes to bytes in one pass, on
the thread that calls it: readers run batches side by side.
"""

import tensorflow as tf

from awsdet.ops import library


def resize(images, size, flip, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded.

    Args:
      images: list of B, uint8 [h, w, 3], each of a size of its own.
      size: int32 [B, 2], height H and width W to resize to, px.
      flip: bool [B], mirrors left and right.
      padded: int32 [2], height and width of the results, at least every `size`, px; None: the largest `size`.

    Returns:
      uint8 [B, padded height, padded width, 3]: each image at the top left, zeros beyond it.

    Raises:
      InvalidArgumentError: an image without pixels or not of three channels; sizes that cannot be.
    """
    with tf.device("CPU:0"):
        padded = tf.reduce_max(size, axis=0) if padded is None else padded
        return library.load().awsdet_resize(images=images, size=size, padded=padded, flip=flip)
