"""The anchors of a feature pyramid, compiled; `awsdet.ops.reference.anchors` holds the same in plain TensorFlow.

Symbols: L levels of H x W cells, A anchors per cell, N anchors of all levels together, B images.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.arguments import tensor

tf.no_gradient("AwsdetAnchors")


class AnchorBoxes(NamedTuple):
    boxes: tf.Tensor  # float32 [N, 4], x1, y1, x2, y2 in image pixels: level by level, row by row, cell by cell
    valid: tf.Tensor  # bool [B, N]: those that take part in the loss of each image


def anchors(sizes, image_size, *, strides, shapes, pad_multiple=1, allowed_border=-1.0):
    """The anchors of all levels, centred on the upper left corners of their cells.

    Args:
        sizes: int32 [L, 2], H and W of each level.
        image_size: int32 [B, 2], height and width of each image, px. An image is padded to multiples of `pad_multiple`,
            and then further, to the size of the largest in its batch. Anchors of cells in the second padding are not
            valid. With B = 0 only the boxes are made.
        strides: L integers, px per cell.
        shapes: for each level A boxes x1, y1, x2, y2 around the centre of an anchor.
        allowed_border: anchors that reach further out of an image than this, px, are not valid; on the right and at the
            bottom the limit itself counts as outside, as in mmdetection. Negative: all may.

    Returns AnchorBoxes. No gradient.

    Raises tf.errors.InvalidArgumentError naming the argument for a wrong shape, dtype or value, ValueError if the
    levels have different numbers of shapes.
    """
    if len(shapes) != len(strides) or len({len(level) for level in shapes}) > 1:
        raise ValueError(f"anchors: shapes has {[len(level) for level in shapes]} boxes for {len(strides)} strides")
    return AnchorBoxes(
        *library.load().awsdet_anchors(
            sizes=tensor("anchors: sizes", sizes, tf.int32),
            image_size=tensor("anchors: image_size", image_size, tf.int32),
            strides=list(strides),
            shapes=[float(side) for level in shapes for box in level for side in box],
            pad_multiple=pad_multiple,
            allowed_border=allowed_border,
        )
    )
