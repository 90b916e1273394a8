"""The 3x3 cells around sampled anchors, compiled; awsdet/ops/reference/cell_windows.py is its plain twin."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library

DTYPES = (tf.float32, tf.float16, tf.bfloat16)


class CellWindows(NamedTuple):
    """What lies around S sampled anchors of each of B images."""

    windows: tf.Tensor  # [B, S, 9, C], the 3x3 cells around the anchor's cell, row by row
    chosen: tf.Tensor  # bool [B, S, A], which anchor of its cell it is: True once


def cell_windows(pyramid, anchor_index, anchors_per_cell):
    """The windows of 3x3 cells around anchors, with zeros beyond the border of a level.

    Args:
        pyramid: list of L feature maps [B, H_l, W_l, C], finest first, all float32, float16 or bfloat16; at most 8.
        anchor_index: int32 [B, S], numbered through all levels, row by row, A per cell.
        anchors_per_cell: A, a Python int.

    Returns CellWindows, of which the windows have a gradient: the sum of all windows that a cell is in, added in
    float32 in the order of the samples. The same bits on any number of threads.
    Raises ValueError or InvalidArgumentError, which name the argument, for wrong dtypes, shapes and indices.
    """
    pyramid = [tf.convert_to_tensor(features) for features in pyramid]
    anchor_index = tf.convert_to_tensor(anchor_index)
    _check(pyramid, anchor_index)
    return CellWindows(
        *library.load().awsdet_cell_windows(
            pyramid=pyramid, anchor_index=anchor_index, anchors_per_cell=anchors_per_cell
        )
    )


def _check(pyramid, anchor_index):
    """What TensorFlow itself would refuse without naming the argument."""
    dtypes = [features.dtype for features in pyramid]
    if not pyramid:
        raise ValueError("cell_windows: pyramid has no levels")
    if dtypes[0] not in DTYPES or len(set(dtypes)) > 1:
        names = [dtype.name for dtype in dtypes]
        raise ValueError(f"cell_windows: pyramid must be all float32, float16 or bfloat16, but is {names}")
    if anchor_index.dtype != tf.int32:
        raise ValueError(f"cell_windows: anchor_index must be int32, not {anchor_index.dtype.name}")


@tf.RegisterGradient("AwsdetCellWindows")
def _gradient(op, gradient, _):
    """Of the pyramid; anchor_index has none."""
    levels = op.get_attr("num_levels")
    pyramid = library.load().awsdet_cell_windows_grad(
        gradient=gradient,
        anchor_index=op.inputs[levels],
        shapes=[tf.shape(features) for features in op.inputs[:levels]],
        anchors_per_cell=op.get_attr("anchors_per_cell"),
    )
    for features, source in zip(pyramid, op.inputs):
        features.set_shape(source.shape)
    return [*pyramid, None]
