"""Non-maximum suppression for a batch of images, in operators of TensorFlow whose shapes do not depend on the values.

Symbols: B images, N boxes per image, K the most to keep.
"""

import tensorflow as tf

from awsdet.ops.nms import Kept
from awsdet.ops.reference.nms import TILE, class_iou, gaussian, linear


def awsdet_nms(*, boxes, scores, classes, iou_threshold, score_threshold, max_output, method, sigma, in_order=False):
    """See `awsdet.ops.nms.nms`; the promise `in_order` is not needed."""
    # One box that is never used: there may be none at all.
    boxes = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]])
    scores = tf.pad(scores, [[0, 0], [0, 1]], constant_values=float("-inf"))
    classes = tf.pad(classes, [[0, 0], [0, 1]])
    usable = tf.reduce_all(tf.math.is_finite(boxes), axis=2) & (scores > score_threshold)
    left = tf.where(usable, scores, float("-inf"))
    # Coordinates that are not finite would make IoUs that are not numbers.
    boxes = tf.where(usable[..., tf.newaxis], boxes, 0.0)
    if method == "hard":
        index, kept_scores = _greedy(boxes, left, classes, iou_threshold, max_output)
    else:
        decay = linear(iou_threshold) if method == "linear" else gaussian(sigma)
        index, kept_scores = _soft(boxes, left, classes, decay, score_threshold, max_output)
    valid = kept_scores > float("-inf")
    index = tf.where(valid, index, 0)
    return Kept(
        index,
        tf.where(valid, kept_scores, 0.0),
        tf.reduce_sum(tf.cast(valid, tf.int32), axis=1),
        tf.where(valid[..., tf.newaxis], tf.gather(boxes, index, batch_dims=1), 0.0),
        tf.where(valid, tf.gather(classes, index, batch_dims=1), -1),
        valid,
    )


def _greedy(boxes, scores, classes, iou_threshold, most):
    """Indices and scores [B, K] of what stays by falling score, minus infinity in unused places.

    Sorted boxes are decided about tile by tile: those that a kept one suppresses go; inside the tile a box stays unless
    an earlier one that stays suppresses it.
    """
    images, total = tf.unstack(tf.shape(scores))
    # Whole tiles, and at least K boxes: the rest has no score.
    spare = -total % TILE + TILE * ((most + TILE - 1) // TILE)
    scores, order = tf.math.top_k(scores, total)
    boxes, classes = tf.gather(boxes, order, batch_dims=1), tf.gather(classes, order, batch_dims=1)
    scores = tf.pad(scores, [[0, 0], [0, spare]], constant_values=float("-inf"))
    order, classes = (tf.pad(values, [[0, 0], [0, spare]]) for values in (order, classes))
    boxes = tf.pad(boxes, [[0, 0], [0, spare], [0, 0]])
    earlier = tf.range(TILE)[:, tf.newaxis] < tf.range(TILE)
    end = total + spare

    def of(values, places):
        return tf.gather(values, places, batch_dims=1)

    def unfinished(begin, count, _):
        more = of(scores, tf.fill([images, 1], tf.minimum(begin, end - 1)))[:, 0] > float("-inf")
        return tf.reduce_any(more & (count < most)) & (begin < total)

    def decide(begin, count, kept):
        tile = tf.tile(tf.range(begin, begin + TILE)[tf.newaxis], [images, 1])
        own, own_classes = of(boxes, tile), of(classes, tile)
        used = tf.maximum(tf.reduce_max(count), 1)  # the kept places of all images; TFLite cannot unstack nothing
        held = kept[:, :used]
        over = class_iou(of(boxes, held), of(classes, held), own, own_classes) > iou_threshold
        over &= tf.sequence_mask(count, used)[..., tf.newaxis]
        possible = ~tf.reduce_any(over, axis=1) & (of(scores, tile) > float("-inf"))
        inside = (class_iou(own, own_classes, own, own_classes) > iou_threshold) & earlier

        # After n rounds the first n are settled, and all as soon as a round changes nothing.
        def settle(stays, _):
            after = possible & ~tf.reduce_any(inside & stays[..., tf.newaxis], axis=1)
            return after, tf.reduce_any(tf.math.logical_xor(after, stays))

        stays, _ = tf.while_loop(lambda _, changed: changed, settle, (possible, True))
        # The first K of those held before and those of the tile.
        both = tf.concat([tf.sequence_mask(count, most), stays], axis=1)
        places = tf.concat([kept, tile], axis=1)
        _, first = tf.math.top_k(tf.cast(both, tf.int32), most)
        count = tf.minimum(count + tf.reduce_sum(tf.cast(stays, tf.int32), axis=1), most)
        return begin + TILE, count, of(places, first)

    start = (0, tf.zeros([images], tf.int32), tf.zeros([images, most], tf.int32))
    _, count, kept = tf.while_loop(unfinished, decide, start)
    found = tf.where(tf.sequence_mask(count, most), of(scores, kept), float("-inf"))
    return of(order, kept), found


def _soft(boxes, scores, classes, decay, score_threshold, most):
    """Indices and decayed scores [B, K] of what stays: the best, then the best of what it leaves, and so on."""
    images, total = tf.unstack(tf.shape(scores))

    def step(place, left, kept, kept_scores):
        best = tf.argmax(left, axis=1, output_type=tf.int32)  # the first of equals
        index = best[:, tf.newaxis]
        own = (tf.gather(values, index, batch_dims=1) for values in (boxes, classes))
        factor = decay(class_iou(*own, boxes, classes)[:, 0])
        here = tf.range(most) == place
        kept = tf.where(here, index, kept)
        kept_scores = tf.where(here, tf.gather(left, index, batch_dims=1), kept_scores)
        after = tf.where(tf.range(total) == index, float("-inf"), left * factor)
        after = tf.ensure_shape(tf.where(after > score_threshold, after, float("-inf")), left.shape)
        return place + 1, after, kept, kept_scores

    _, _, kept, kept_scores = tf.while_loop(
        lambda place, left, *_: (place < most) & tf.reduce_any(left > float("-inf")),
        step,
        (0, scores, tf.zeros([images, most], tf.int32), tf.fill([images, most], float("-inf"))),
    )
    return kept, kept_scores
