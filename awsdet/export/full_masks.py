"""Mask probabilities pasted into the image, in operators of TensorFlow; the rule is that of `ops.paste_masks`."""

import tensorflow as tf


def pasted(probabilities, boxes, size, threshold):
    """Binary masks uint8 [D, H, W] of one image, 1 where the probability is at least `threshold`.

    `probabilities` float32 [D, M, M]; `boxes` float32 [D, 4] in px of the image; `size` int32 [2], H and W. A box
    without area has an empty mask. One mask after the other, for float32 masks of a whole image are large.
    """
    side = probabilities.shape[1]

    def paste(one):
        mask, box = one
        rows = _weights(box[1], box[3], size[0], side)
        columns = _weights(box[0], box[2], size[1], side)
        values = tf.matmul(tf.matmul(rows, mask), columns, transpose_b=True)
        return tf.cast(values >= threshold, tf.uint8)

    return tf.map_fn(paste, (probabilities, boxes), fn_output_signature=tf.TensorSpec([None, None], tf.uint8))


def _weights(low, high, length, side):
    """float32 [length, side]: the bilinear weights of a mask's pixels at the centres of the image's pixels."""
    extent = high - low
    centre = tf.range(tf.cast(length, tf.float32)) + 0.5
    place = (centre - low) / extent * side - 0.5
    weights = tf.maximum(1.0 - tf.abs(place[:, tf.newaxis] - tf.range(float(side))), 0.0)
    return tf.where((extent > 0) & tf.math.is_finite(extent), weights, 0.0)
