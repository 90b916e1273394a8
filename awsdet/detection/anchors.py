"""Anchors: the boxes that an RPN scores at every cell of every feature level.

Order (that of mmdetection): level by level, cells row-major, the A shapes of a cell last; shapes are scale-minor.
"""

import math

import tensorflow as tf


def level_anchors(feature_size, stride, scales, ratios):
    """Anchors of one level, float32 [H * W * A, 4] in image pixels.

    `feature_size` is (H, W), integers or scalar tensors. Centres lie on the upper left corner of each cell (offset
    0, as the reference). A shape has area (stride * scale)^2 and height / width = ratio.
    """
    height, width = feature_size
    x = tf.cast(tf.range(width), tf.float32) * stride
    y = tf.cast(tf.range(height), tf.float32) * stride
    grid_x, grid_y = tf.meshgrid(x, y)
    centres = tf.reshape(tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1), [-1, 1, 4])
    shapes = tf.constant(_shapes(stride, scales, ratios), tf.float32)
    return tf.reshape(centres + shapes, [-1, 4])


def valid_cells(feature_size, stride, padded_size):
    """Which cells lie inside each image's own padded area: bool [B, H * W]; `padded_size` int32 [B, 2]."""
    limit = (padded_size + stride - 1) // stride
    rows = tf.range(feature_size[0])[tf.newaxis] < limit[:, :1]
    columns = tf.range(feature_size[1])[tf.newaxis] < limit[:, 1:]
    return tf.reshape(rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :], [tf.shape(padded_size)[0], -1])


def inside(anchors, image_size, border):
    """Which of `anchors` [N, 4] reach no further than `border` px beyond each image: bool [B, N].

    `image_size` int32 [B, 2]. To the right and below an anchor must stay short of the limit, as in mmdetection.
    """
    height, width = tf.unstack(tf.cast(image_size, tf.float32)[:, :, tf.newaxis], axis=1)
    x1, y1, x2, y2 = tf.unstack(anchors, axis=-1)
    return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)


def _shapes(stride, scales, ratios):
    shapes = []
    for ratio in ratios:
        for scale in scales:
            half_width = 0.5 * stride * scale / math.sqrt(ratio)
            half_height = 0.5 * stride * scale * math.sqrt(ratio)
            shapes.append((-half_width, -half_height, half_width, half_height))
    return shapes
