"""The highest scored boxes of each level of a dense head, chosen by TensorFlow's top_k.

Symbols: B images, N anchors of a level, C classes, K pairs chosen of a level.
"""

import tensorflow as tf

from awsdet.ops.reference.top_boxes import top_boxes


def awsdet_top_boxes(**arguments):
    """See `awsdet.ops.top_boxes.top_boxes`. One difference: NaN and minus infinity are equal among the logits."""
    return top_boxes(**arguments, best_pairs=_best_pairs)


def _best_pairs(logits, limit):
    """The best pairs of anchor and class of `logits` [B, N, C]: their logits, anchors and classes, each [B, K]."""
    classes = logits.shape[2]
    flat = tf.reshape(logits, [tf.shape(logits)[0], tf.shape(logits)[1] * classes])
    # NaN has no place among numbers; of equal ones the first comes first.
    _, order = tf.math.top_k(tf.where(tf.math.is_nan(flat), float("-inf"), flat), tf.minimum(limit, tf.shape(flat)[1]))
    return tf.gather(flat, order, batch_dims=1), order // classes, order % classes
