"""Sampling of candidates and their targets, in plain TensorFlow.

Symbols: B images, N candidates and G objects per image, S samples per image.
"""

import tensorflow as tf

from awsdet.ops.sample import Sample

_TINY = 1e-6


def sample(
    matched, keys, candidates, boxes, classes, *, size, positive_limit, background=0, stds=(1.0,) * 4, with_truth=False
):
    """Arguments and result are those of `awsdet.ops.sample.sample`."""
    index, positive, valid = _choose(matched, keys, size, positive_limit)
    candidates = tf.broadcast_to(candidates, [tf.shape(boxes)[0], tf.shape(candidates)[-2], 4])
    if with_truth:
        candidates = tf.concat([boxes, candidates], axis=1)
    chosen = tf.where(valid[..., tf.newaxis], _gather(candidates, index), 0.0)
    truth = tf.where(positive, _gather(matched.index, index), 0)
    labels = tf.where(positive, _gather(classes, truth), background)
    deltas = tf.where(positive[..., tf.newaxis], _encode(_gather(boxes, truth), chosen, stds), 0.0)
    is_object = valid & (index < tf.shape(boxes)[1]) & with_truth
    counts = [tf.reduce_sum(tf.cast(kind, tf.float32), axis=1) for kind in (positive, valid & ~positive)]
    return Sample(index, positive, valid, truth, chosen, labels, deltas, is_object, tf.stack(counts, axis=1))


def _choose(matched, keys, size, positive_limit):
    """The chosen candidates int32 [B, S], which of them are positive, which slots are used."""
    limit = min(positive_limit, size)
    positives, positive_count = _smallest(keys, matched.positive, limit)
    negatives, negative_count = _smallest(keys, matched.negative, size)
    slot = tf.range(size)[tf.newaxis]
    positive = slot < positive_count
    valid = slot < positive_count + negative_count
    place = tf.where(positive, slot, limit + slot - positive_count)
    index = tf.gather(tf.concat([positives, negatives], axis=1), place, batch_dims=1)
    return tf.where(valid, index, 0), positive, valid


def _smallest(keys, allowed, limit):
    """(Indices int32 [B, limit] of the allowed candidates with the smallest keys, their number int32 [B, 1])."""
    available = tf.shape(keys)[1]
    top = tf.math.top_k(tf.where(allowed, -keys, -tf.float32.max), tf.minimum(limit, available))
    index = tf.pad(top.indices, [[0, 0], [0, limit - tf.shape(top.indices)[1]]])
    index.set_shape([None, limit])
    count = tf.minimum(tf.reduce_sum(tf.cast(allowed, tf.int32), axis=1, keepdims=True), limit)
    return index, count


def _gather(values, index):
    """values [B, M, ...] at index [B, S]; zeros if M is 0."""
    values = tf.convert_to_tensor(values)
    padded = tf.pad(values, [[0, 0], [0, 1], *[[0, 0]] * (values.shape.rank - 2)])
    return tf.gather(padded, index, batch_dims=1)


def _encode(boxes, anchors, stds):
    """dx, dy, dw, dh that take anchors [..., 4] to boxes [..., 4], divided by `stds`."""
    ax, ay, aw, ah = _centre_form(anchors)
    bx, by, bw, bh = _centre_form(boxes)
    deltas = tf.stack([(bx - ax) / aw, (by - ay) / ah, tf.math.log(bw / aw), tf.math.log(bh / ah)], axis=-1)
    return deltas / tf.constant(stds, tf.float32)


def _centre_form(boxes):
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, tf.maximum(x2 - x1, _TINY), tf.maximum(y2 - y1, _TINY)
