"""The highest scored boxes of each level of a dense head, in plain TensorFlow.

Symbols: B images, N anchors of a level, C classes, K pairs chosen of a level.
"""

import tensorflow as tf

from awsdet.ops.reference.box_decoding import clip, decode
from awsdet.ops.top_boxes import TopBoxes


def top_boxes(logits, deltas, anchors, image_size, *, limit, stds, max_log_ratio, min_size=0.0, best_pairs=None):
    """Arguments and result are those of `awsdet.ops.top_boxes.top_boxes`.

    best_pairs: chooses the pairs, in place of the slow `pairs_by_rank`, with its arguments and result.
    """
    best_pairs = best_pairs or pairs_by_rank
    parts, first = [], 0
    for level, (level_logits, level_deltas) in enumerate(zip(logits, deltas)):
        count = tf.shape(level_deltas)[1]
        chosen, anchor, label = best_pairs(tf.cast(tf.stop_gradient(level_logits), tf.float32), limit)
        moves = tf.gather(tf.cast(tf.stop_gradient(level_deltas), tf.float32), anchor, batch_dims=1)
        boxes = decode(moves, tf.gather(anchors[first : first + count], anchor), stds, max_log_ratio)
        boxes = clip(boxes, image_size)
        usable = (boxes[..., 2] - boxes[..., 0] > min_size) & (boxes[..., 3] - boxes[..., 1] > min_size)
        usable &= ~tf.math.is_nan(chosen)
        chosen = tf.where(usable, tf.maximum(chosen, tf.float32.min), float("-inf"))
        parts.append(TopBoxes(boxes, chosen, label, tf.fill(tf.shape(label), level)))
        first += count
    return TopBoxes(*(tf.concat(level_parts, axis=1) for level_parts in zip(*parts)))


def pairs_by_rank(logits, limit):
    """The best pairs of anchor and class of `logits` [B, N, C]: their logits, anchors and classes, each [B, K]."""
    images, anchors, classes = tf.unstack(tf.shape(logits))
    flat = tf.reshape(logits, [images, anchors * classes])
    # top_k knows no order of NaN, nor one of minus infinity and what stands for NaN: so sorting is by rank.
    order = tf.argsort(tf.where(tf.math.is_nan(flat), float("-inf"), flat), direction="DESCENDING", stable=True)
    last = tf.gather(tf.math.is_nan(flat), order, batch_dims=1)
    order = tf.gather(order, tf.argsort(tf.cast(last, tf.int32), stable=True), batch_dims=1)[:, :limit]
    return tf.gather(flat, order, batch_dims=1), order // classes, order % classes
