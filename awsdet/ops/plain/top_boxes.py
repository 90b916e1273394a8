"""The highest scored boxes of each level of a dense head, in operators of TensorFlow whose shapes are known.

Symbols: B images, N anchors of a level, C classes, K pairs chosen of a level.
"""

import tensorflow as tf

from awsdet.ops.reference.box_decoding import clip, decode
from awsdet.ops.top_boxes import TopBoxes


def awsdet_top_boxes(*, logits, deltas, anchors, image_size, limit, min_size, stds, max_log_ratio):
    """See `awsdet.ops.top_boxes.top_boxes`. One difference: NaN and minus infinity are equal among the logits."""
    parts, first = [], 0
    for level, (level_logits, level_deltas) in enumerate(zip(logits, deltas)):
        count = tf.shape(level_deltas)[1] if level_deltas.shape[1] is None else level_deltas.shape[1]
        chosen, anchor, label = _best_pairs(tf.cast(level_logits, tf.float32), limit)
        moves = tf.gather(tf.cast(level_deltas, tf.float32), anchor, batch_dims=1)
        boxes = decode(moves, tf.gather(anchors[first : first + count], anchor), stds, max_log_ratio)
        boxes = clip(boxes, image_size)
        usable = (boxes[..., 2] - boxes[..., 0] > min_size) & (boxes[..., 3] - boxes[..., 1] > min_size)
        usable &= ~tf.math.is_nan(chosen)
        chosen = tf.where(usable, tf.maximum(chosen, tf.float32.min), float("-inf"))
        parts.append(TopBoxes(boxes, chosen, label, tf.fill(tf.shape(label), level)))
        first += count
    return TopBoxes(*(tf.concat(level_parts, axis=1) for level_parts in zip(*parts)))


def _best_pairs(logits, limit):
    """The best pairs of anchor and class of `logits` [B, N, C]: their logits, anchors and classes, each [B, K]."""
    classes = logits.shape[2]
    known = None if logits.shape[1] is None else logits.shape[1] * classes
    flat = tf.reshape(logits, [-1, tf.shape(logits)[1] * classes if known is None else known])
    limit = tf.minimum(limit, tf.shape(flat)[1]) if known is None else min(limit, known)
    # NaN has no place among numbers; of equal ones the first comes first.
    _, order = tf.math.top_k(tf.where(tf.math.is_nan(flat), float("-inf"), flat), limit)
    return tf.gather(flat, order, batch_dims=1), order // classes, order % classes
