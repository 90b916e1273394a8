"""Non-maximum suppression for a batch of images, in plain TensorFlow.

Symbols: B images, N boxes an image, K the most to keep.
"""

import tensorflow as tf

from awsdet.ops.nms import Kept

TILE = 256  # boxes that are decided about together


def nms(
    boxes,
    scores,
    classes=None,
    *,
    iou_threshold,
    score_threshold,
    max_output,
    method="hard",
    sigma=0.5,
    in_order=False,  # a promise that the twin does not need
):
    """Class-wise NMS, greedy or soft; arguments and result are those of `awsdet.ops.nms.nms`.

    Raises ValueError for an unknown method.
    """
    if method not in ("hard", "linear", "gaussian"):
        raise ValueError(f"nms: method must be hard, linear or gaussian, not {method!r}")
    classes = tf.zeros_like(scores, tf.int32) if classes is None else classes
    padded = [max_output]

    def one_image(inputs):
        image_boxes, image_scores, image_classes = inputs
        usable = tf.reduce_all(tf.math.is_finite(image_boxes), axis=1) & (image_scores > score_threshold)
        chosen = tf.cast(tf.where(usable)[:, 0], tf.int32)
        some = tuple(tf.gather(values, chosen) for values in (image_boxes, image_scores, image_classes))
        if method == "hard":
            kept, kept_scores = _greedy(*some, iou_threshold, max_output)
        else:
            decay = linear(iou_threshold) if method == "linear" else gaussian(sigma)
            kept, kept_scores = _soft(*some, decay, score_threshold, max_output)
        count = tf.shape(kept)[0]

        def filled(values, empty):
            rest = [[0, max_output - count], *[[0, 0]] * (values.shape.rank - 1)]
            return tf.ensure_shape(tf.pad(values, rest, constant_values=empty), padded + values.shape[1:])

        return (
            filled(tf.gather(chosen, kept), 0),
            filled(kept_scores, 0.0),
            count,
            filled(tf.gather(some[0], kept), 0.0),
            filled(tf.gather(some[2], kept), -1),
            tf.sequence_mask(count, max_output),
        )

    signature = (
        tf.TensorSpec(padded, tf.int32),
        tf.TensorSpec(padded, tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([*padded, 4], tf.float32),
        tf.TensorSpec(padded, tf.int32),
        tf.TensorSpec(padded, tf.bool),
    )
    inputs = tuple(tf.stop_gradient(values) for values in (boxes, scores, classes))
    return Kept(*tf.map_fn(one_image, inputs, fn_output_signature=signature))


def class_iou(boxes, classes, others, other_classes):
    """IoU of boxes [..., M, 4] with others [..., L, 4], 0 for a pair of different classes or without common area:
    [..., M, L]."""
    left, top, right, bottom = (side[..., tf.newaxis] for side in tf.unstack(boxes, axis=-1))
    other_left, other_top, other_right, other_bottom = (
        side[..., tf.newaxis, :] for side in tf.unstack(others, axis=-1)
    )
    width = tf.minimum(right, other_right) - tf.maximum(left, other_left)
    height = tf.minimum(bottom, other_bottom) - tf.maximum(top, other_top)
    common = tf.maximum(width, 0.0) * tf.maximum(height, 0.0)
    # Every step is rounded as in the reference, and class ids are compared: mmcv shifts each class's boxes to a place
    # of its own, where coordinates lose digits.
    area = (right - left) * (bottom - top)
    iou = common / (area + (other_right - other_left) * (other_bottom - other_top) - common)
    same = classes[..., tf.newaxis] == other_classes[..., tf.newaxis, :]
    return tf.where((common > 0.0) & same, iou, 0.0)


def _greedy(boxes, scores, classes, iou_threshold, max_output):
    """Indices and scores of what stays, tile by tile of falling score until there is enough."""
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    boxes, classes = tf.gather(boxes, order), tf.gather(classes, order)
    total = tf.shape(order)[0]

    def suppresses(first, second):
        iou = class_iou(*(tf.gather(values, index) for index in (first, second) for values in (boxes, classes)))
        return iou > iou_threshold

    def decide(begin, kept):
        tile = tf.range(begin, tf.minimum(begin + TILE, total))
        tile = tf.boolean_mask(tile, ~tf.reduce_any(suppresses(kept, tile), axis=0))
        earlier = tf.range(tf.size(tile))[:, tf.newaxis] < tf.range(tf.size(tile))
        inside = suppresses(tile, tile) & earlier

        # A box stays unless an earlier one that stays suppresses it: after k rounds that is settled for the first k,
        # and for all as soon as a round changes nothing.
        def settle(stays, _):
            after = ~tf.reduce_any(inside & stays[:, tf.newaxis], axis=0)
            return after, tf.reduce_any(after != stays)

        stays, _ = tf.while_loop(lambda _, changed: changed, settle, (tf.ones_like(tile, tf.bool), tf.size(tile) > 0))
        return begin + TILE, tf.concat([kept, tf.boolean_mask(tile, stays)], axis=0)

    _, kept = tf.while_loop(
        lambda begin, kept: (begin < total) & (tf.size(kept) < max_output),
        decide,
        (tf.constant(0), tf.zeros([0], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    kept = tf.gather(order, kept[:max_output])
    return kept, tf.gather(scores, kept)


def linear(iou_threshold):
    """The function IoU -> factor of a score of Soft-NMS's linear form."""
    return lambda iou: tf.where(iou >= iou_threshold, 1.0 - iou, 1.0)


def gaussian(sigma):
    """The same of its Gaussian form."""
    return lambda iou: tf.exp(-(iou * iou) / sigma)


def _soft(boxes, scores, classes, decay, score_threshold, max_output):
    """Indices and decayed scores of what stays: the best, then the best of what it leaves, and so on."""
    gone = -1.0  # below any threshold

    def step(left, kept, kept_scores):
        best = tf.argmax(left, output_type=tf.int32)  # the first of equals
        factor = decay(class_iou(boxes[best, tf.newaxis], classes[best, tf.newaxis], boxes, classes)[0])
        after = tf.where(tf.range(tf.size(left)) == best, gone, left * factor)
        after = tf.where(after > score_threshold, after, gone)
        return after, tf.concat([kept, [best]], axis=0), tf.concat([kept_scores, [left[best]]], axis=0)

    _, kept, kept_scores = tf.while_loop(
        lambda left, kept, _: tf.reduce_any(left > gone) & (tf.size(kept) < max_output),
        step,
        (scores, tf.zeros([0], tf.int32), tf.zeros([0])),
        shape_invariants=(scores.shape, tf.TensorShape([None]), tf.TensorShape([None])),
    )
    return kept, kept_scores
