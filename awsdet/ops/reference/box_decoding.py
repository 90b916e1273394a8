"""Boxes from deltas in plain TensorFlow, for the twins of top_boxes and decode_boxes. NaN stays NaN."""

import tensorflow as tf


def decode(deltas, anchors, stds, max_log_ratio):
    """Boxes [..., 4] from float32 deltas [..., 4] and anchors [..., 4]; dw and dh are clamped."""
    dx, dy, dw, dh = tf.unstack(deltas * tf.constant(stds, tf.float32), axis=-1)
    ax, ay = (anchors[..., 0] + anchors[..., 2]) * 0.5, (anchors[..., 1] + anchors[..., 3]) * 0.5
    aw, ah = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    half_width = 0.5 * aw * tf.exp(_clamped(dw, -max_log_ratio, max_log_ratio))
    half_height = 0.5 * ah * tf.exp(_clamped(dh, -max_log_ratio, max_log_ratio))
    x, y = ax + aw * dx, ay + ah * dy
    return tf.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def clip(boxes, size):
    """The parts of `boxes` [B, N, 4] that lie in their images of `size` int32 [B, 2], height and width."""
    height, width = tf.unstack(tf.cast(size, tf.float32), axis=-1)
    limit = tf.stack([width, height, width, height], axis=-1)[..., tf.newaxis, :]
    return _clamped(boxes, 0.0, limit)


def _clamped(values, low, high):
    below = tf.where(values > high, high, values)  # tf.minimum may drop NaN
    return tf.where(below < low, low, below)
