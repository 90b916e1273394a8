"""The 3x3 cells around sampled anchors, in plain TensorFlow."""

import tensorflow as tf


def cell_windows(pyramid, anchor_index, anchors_per_cell):
    """The windows of 3x3 cells around anchors, with zeros beyond the border of a level.

    `pyramid`: list of [B, H, W, C]; `anchor_index` int32 [B, S], numbered through all levels, row by row,
    `anchors_per_cell` (A) per cell.

    Returns (windows [B, S, 9, C], chosen bool [B, S, A]: which anchor of its cell each is).
    """
    cells = anchor_index // anchors_per_cell
    chosen = tf.one_hot(anchor_index % anchors_per_cell, anchors_per_cell, on_value=True, off_value=False)
    return _windows(pyramid, cells), chosen


def _windows(pyramid, cells):
    """[B, S, 9, C] around `cells` int32 [B, S], numbered through all levels."""
    offset = tf.stack(tf.meshgrid(tf.range(-1, 2), tf.range(-1, 2), indexing="ij"), axis=-1)
    offset = tf.reshape(offset, [9, 2])
    windows, first = 0, 0
    for features in pyramid:
        batch, height, width = tf.unstack(tf.shape(features)[:3])
        own = (cells >= first) & (cells < first + height * width)
        place = tf.where(own, cells - first, 0)
        row = place[..., tf.newaxis] // width + offset[:, 0]
        column = place[..., tf.newaxis] % width + offset[:, 1]
        inside = own[..., tf.newaxis] & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        flat = tf.reshape(features, [-1, features.shape[3]])
        image = tf.range(batch)[:, tf.newaxis, tf.newaxis] * (height * width)
        taken = tf.gather(flat, tf.where(inside, image + row * width + column, 0))
        windows += tf.where(inside[..., tf.newaxis], taken, tf.zeros([], taken.dtype))
        first += height * width
    return windows
