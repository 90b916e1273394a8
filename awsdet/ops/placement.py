"""Where an image lies in its batch: one value for its pixels, boxes, polygons and run lengths alike."""

from typing import NamedTuple

import tensorflow as tf


class Placement(NamedTuple):
    """Where each of B images lies in its batch. Pairs are height and width, or y and x, in px.

    The source is mirrored if `flip` says so, then resized as a whole to `size`. Of the resized image, only the window
    [y, y + height) x [x, x + width) is shown, whose top left pixel is `corner`. It lies at the top left of its canvas,
    zeros beyond it: models rely on that, since `image_size`, the window's size, is all they are told.

    size: int32 [B, 2], 1 at least; corner: int32 [B, 2]; window: int32 [B, 2], 1 at least, within the resized image;
    flip: bool [B]. NumPy arrays or tensors; a plan has them with other leading axes than B.
    """

    size: tf.Tensor
    corner: tf.Tensor
    window: tf.Tensor
    flip: tf.Tensor


def whole(size):
    """The Placement that shows whole images, resized to `size` int32 [B, 2] and not mirrored."""
    size = tf.convert_to_tensor(size, tf.int32)
    return Placement(size, tf.zeros_like(size), size, tf.zeros(tf.shape(size)[:1], tf.bool))
