"""The anchors of a feature pyramid, in plain TensorFlow.

Symbols: L levels of H x W cells, A anchors per cell, N anchors of all levels together, B images.
"""

import tensorflow as tf

from awsdet.ops.anchors import AnchorBoxes


def anchors(sizes, image_size, *, strides, shapes, pad_multiple=1, allowed_border=-1.0):
    """Arguments and result are those of `awsdet.ops.anchors.anchors`."""
    padded = (image_size + pad_multiple - 1) // pad_multiple * pad_multiple
    boxes, valid = [], []
    for size, stride, level_shapes in zip(tf.unstack(sizes, num=len(strides)), strides, shapes):
        boxes.append(_of_level(size, stride, level_shapes))
        valid.append(tf.repeat(_valid_cells(size, stride, padded), len(level_shapes), axis=1))
    boxes, valid = tf.concat(boxes, axis=0), tf.concat(valid, axis=1)
    if allowed_border >= 0:
        valid &= _inside(boxes, image_size, allowed_border)
    return AnchorBoxes(boxes, valid)


def _of_level(size, stride, shapes):
    """The anchors of one level, float32 [H * W * A, 4]."""
    x = tf.cast(tf.range(size[1]), tf.float32) * stride
    y = tf.cast(tf.range(size[0]), tf.float32) * stride
    grid_x, grid_y = tf.meshgrid(x, y)
    centres = tf.reshape(tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1), [-1, 1, 4])
    return tf.reshape(centres + tf.constant(shapes, tf.float32), [-1, 4])


def _valid_cells(size, stride, padded_size):
    """Which cells lie inside each image's own padded area: bool [B, H * W]; `padded_size` int32 [B, 2]."""
    limit = (padded_size + stride - 1) // stride
    rows = tf.range(size[0])[tf.newaxis] < limit[:, :1]
    columns = tf.range(size[1])[tf.newaxis] < limit[:, 1:]
    return tf.reshape(rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :], [tf.shape(padded_size)[0], size[0] * size[1]])


def _inside(boxes, image_size, border):
    """Which of `boxes` [N, 4] reach no further than `border` px beyond each image: bool [B, N]."""
    height, width = tf.unstack(tf.cast(image_size, tf.float32)[:, :, tf.newaxis], axis=1)
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)
