"""Resizing and flipping of everything annotated on an image; plain TensorFlow ops, no Python at run time.

`awsdet.ops.resize` does the image itself.

Symbols: h, w the original size, H, W the resized one (px); N objects. All coordinates are continuous: pixel column i
covers [i, i+1), so a resize maps x to x * W / w and a flip maps x to W - x.
"""

import numpy as np
import tensorflow as tf


def resize_plan(height, width, short, long):
    """The size an image is resized to: its short side to `short`, unless its long side then passes `long`.

    Works on numbers and on arrays. Returns ints (H, W), rounded as mmdetection does: int(side * scale + 0.5).
    """
    height, width = np.asarray(height, np.float64), np.asarray(width, np.float64)
    scale = np.minimum(short / np.minimum(height, width), long / np.maximum(height, width))
    resized = tuple(np.maximum((side * scale + 0.5).astype(np.int32), 1) for side in (height, width))
    return resized if resized[0].ndim else tuple(map(int, resized))


def transform_boxes(boxes, old_size, new_size, flip):
    """float64 [N, 4] in px of the original -> float32 [N, 4] in px of the resized image, clipped to it.

    boxes: x1, y1, x2, y2; sizes: int32 [2] = height, width; flip: bool scalar.
    """
    old, new = tf.cast(old_size, tf.float64), tf.cast(new_size, tf.float64)
    limits = tf.stack([old[1], old[0], old[1], old[0]])
    boxes = tf.clip_by_value(boxes, tf.zeros_like(limits), limits)
    boxes *= tf.stack([new[1], new[0], new[1], new[0]]) / limits
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    x1, x2 = tf.where(flip, new[1] - x2, x1), tf.where(flip, new[1] - x1, x2)
    return tf.cast(tf.stack([x1, y1, x2, y2], axis=1), tf.float32)


def transform_points(numbers, old_size, new_size, flip):
    """float64 [2 * points] (x0, y0, x1, …) in px of the original -> float32 in px of the resized image, not clipped."""
    old, new = tf.cast(old_size, tf.float64), tf.cast(new_size, tf.float64)
    points = tf.reshape(numbers, [-1, 2]) * (new[::-1] / old[::-1])
    x = tf.where(flip, new[1] - points[:, 0], points[:, 0])
    return tf.cast(tf.reshape(tf.stack([x, points[:, 1]], axis=1), [-1]), tf.float32)


def transform_runs(counts, old_size, new_size, flip):
    """COCO run lengths int64 [runs] of an original-size mask -> int32 [runs] of the resized one (nearest neighbour)."""
    cells = tf.cast(tf.reduce_prod(old_size), tf.int64)
    edges = tf.cumsum(counts)[:-1]
    # Each edge toggles; runs of no length put two edges on one cell, which cancel, and trailing ones lie past the end.
    toggles = tf.tensor_scatter_nd_add(tf.zeros([cells + 1], tf.uint8), edges[:, None], tf.ones_like(edges, tf.uint8))
    flat = tf.bitwise.bitwise_and(tf.cumsum(toggles)[:-1], 1)
    return transform_mask(tf.transpose(tf.reshape(flat, [old_size[1], old_size[0]])), new_size, flip)


def transform_mask(mask, new_size, flip):
    """uint8 [h, w], 0 or not -> COCO run lengths int32 [runs] (column-major, zeros first) of the resized mask.

    Nearest neighbour with half-pixel centres: pixel i of n shows pixel floor((i + 0.5) * old / n).
    """
    old_size = tf.shape(mask)
    rows = _nearest(new_size[0], old_size[0])
    columns = _nearest(new_size[1], old_size[1])
    columns = tf.cond(flip, lambda: columns[::-1], lambda: columns)
    flat = tf.reshape(tf.transpose(tf.gather(tf.gather(mask, rows), columns, axis=1)), [-1]) > 0
    edges = tf.where(flat != tf.concat([[False], flat[:-1]], 0))[:, 0]
    ends = tf.concat([edges, [tf.size(flat, tf.int64)]], 0)
    return tf.cast(ends - tf.concat([[0], ends[:-1]], 0), tf.int32)


def _nearest(new, old):
    scale = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    places = tf.cast((tf.cast(tf.range(new), tf.float64) + 0.5) * scale, tf.int32)
    return tf.minimum(places, old - 1)
