"""Resizes an image, mirrored and padded, by the compiled operator.

`awsdet.ops.plain.resize` holds the same in plain TensorFlow. The operator goes from bytes to bytes in one pass, on the
thread that calls it: readers run images side by side.
"""

import tensorflow as tf

from awsdet.ops import library


def resize(image, size, flip, padded=None):
    """Bilinear with half-pixel centres, no antialiasing, rounded.

    Args:
      image: uint8 [h, w, 3].
      size: int32 [2], height H and width W to resize to, px.
      flip: bool scalar, mirrors left and right.
      padded: int32 [2], height and width of the result, at least `size`, px; None: `size`.

    Returns:
      uint8 [padded height, padded width, 3]: the image at the top left, zeros beyond it.

    Raises:
      InvalidArgumentError: an image without pixels or not of three channels; sizes that cannot be.
    """
    with tf.device("CPU:0"):
        padded = size if padded is None else padded
        return library.load().awsdet_resize(image=image, size=size, padded=padded, flip=flip)
