"""Resizes images, mirrored, cropped and padded, into one batch, by the compiled operator.

`awsdet.ops.reference.resize` holds the same in plain TensorFlow. The operator goes from bytes to bytes in one pass, on
the thread that calls it: readers run batches side by side.
"""

import tensorflow as tf

from awsdet.ops import library


def resize(images, placement, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded.

    Args:
      images: list of B, uint8 [h, w, 3], each of a size of its own.
      placement: Placement of the B images. A window has exactly the pixels that the whole resized image has there.
      padded: int32 [2], height and width of the results, at least every window, px; None: the largest window.

    Returns:
      uint8 [B, padded height, padded width, 3]: each image's window at the top left, zeros beyond it.

    Raises:
      InvalidArgumentError: an image without pixels or without exactly three channels; an invalid placement.
    """
    with tf.device("CPU:0"):
        padded = tf.reduce_max(placement.window, axis=0) if padded is None else padded
        return library.load().awsdet_resize(images=images, padded=padded, **placement._asdict())
