"""Boxes: areas, overlaps, and the coder between boxes and deltas.

Boxes are float32 [..., 4] = x1, y1, x2, y2 in pixels, continuous coordinates: the width is x2 - x1. Leading dimensions
broadcast.
"""

import dataclasses
import math

import tensorflow as tf

# The deltas of width and height are clamped to plus or minus this before exp (mmdetection's wh_ratio_clip, 16 / 1000).
MAX_LOG_RATIO = abs(math.log(16.0 / 1000.0))
_TINY = 1e-6


def area(boxes):
    """Areas in square pixels, [...]; 0 for inverted boxes."""
    width = tf.maximum(boxes[..., 2] - boxes[..., 0], 0.0)
    height = tf.maximum(boxes[..., 3] - boxes[..., 1], 0.0)
    return width * height


def intersection(boxes, others):
    """Intersection areas of `boxes` [..., N, 4] and `others` [..., M, 4]: float32 [..., N, M]."""
    return _overlap(boxes[..., tf.newaxis, :], others[..., tf.newaxis, :, :])


def iou(boxes, others):
    """Intersection over union of `boxes` [..., N, 4] and `others` [..., M, 4]: float32 [..., N, M]."""
    overlap = intersection(boxes, others)
    union = area(boxes)[..., tf.newaxis] + area(others)[..., tf.newaxis, :] - overlap
    return overlap / tf.maximum(union, _TINY)


def iof(boxes, regions):
    """The share of each of `boxes` [..., N, 4] that lies in each of `regions` [..., M, 4]: float32 [..., N, M]."""
    return intersection(boxes, regions) / tf.maximum(area(boxes)[..., tf.newaxis], _TINY)


def generalized_iou(boxes, others):
    """GIoU (Rezatofighi et al. 2019) of `boxes` [..., 4] with their partners in `others` [..., 4]: [...], in [-1, 1].

    It and its gradient are finite for boxes without area too.
    """
    overlap = _overlap(boxes, others)
    union = tf.maximum(area(boxes) + area(others) - overlap, _TINY)
    low, high = tf.minimum(boxes[..., :2], others[..., :2]), tf.maximum(boxes[..., 2:], others[..., 2:])
    hull = tf.maximum(tf.reduce_prod(high - low, axis=-1), _TINY)
    return overlap / union - (hull - union) / hull


def clip(boxes, size):
    """Clips `boxes` [..., N, 4] to the image; `size` int32 [..., 2] is height, width."""
    height, width = tf.unstack(tf.cast(size, tf.float32), axis=-1)
    limit = tf.stack([width, height, width, height], axis=-1)[..., tf.newaxis, :]
    return tf.clip_by_value(boxes, 0.0, limit)


def larger_than(boxes, size):
    """Which of `boxes` [..., 4] are wider and higher than `size` px: bool [...]."""
    return (boxes[..., 2] - boxes[..., 0] > size) & (boxes[..., 3] - boxes[..., 1] > size)


@dataclasses.dataclass(frozen=True)
class BoxCoder:
    """Turns boxes into the deltas that a head learns, and deltas into boxes. Fast R-CNN, equations 1 and 2.

    Attributes:
        stds: what dx, dy, dw, dh are divided by, so that each has a spread of about 1.
    """

    stds: tuple = (1.0, 1.0, 1.0, 1.0)

    def encode(self, boxes, anchors):
        """Deltas [..., 4] = dx, dy, dw, dh that take `anchors` [..., 4] to `boxes` [..., 4].

        For boxes without width or height (padding) the deltas are finite but meaningless.
        """
        ax, ay, aw, ah = _centre_form(anchors)
        bx, by, bw, bh = _centre_form(boxes)
        deltas = tf.stack([(bx - ax) / aw, (by - ay) / ah, tf.math.log(bw / aw), tf.math.log(bh / ah)], axis=-1)
        return deltas / tf.constant(self.stds, tf.float32)

    def decode(self, deltas, anchors):
        """The inverse of `encode`: boxes [..., 4] from deltas [..., 4] and anchors [..., 4]; dw and dh are clamped."""
        dx, dy, dw, dh = tf.unstack(deltas * tf.constant(self.stds, tf.float32), axis=-1)
        ax, ay = (anchors[..., 0] + anchors[..., 2]) * 0.5, (anchors[..., 1] + anchors[..., 3]) * 0.5
        aw, ah = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
        half_width = 0.5 * aw * tf.exp(tf.clip_by_value(dw, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        half_height = 0.5 * ah * tf.exp(tf.clip_by_value(dh, -MAX_LOG_RATIO, MAX_LOG_RATIO))
        x, y = ax + aw * dx, ay + ah * dy
        return tf.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def _overlap(boxes, others):
    """Intersection areas of boxes [..., 4] and their partners [..., 4]: [...]."""
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    u1, v1, u2, v2 = tf.unstack(others, axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0.0)
    height = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0.0)
    return width * height


def _centre_form(boxes):
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, tf.maximum(x2 - x1, _TINY), tf.maximum(y2 - y1, _TINY)
