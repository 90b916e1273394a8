"""The boxes of every class of a box head, in plain TensorFlow."""

import tensorflow as tf

from awsdet.ops.decode_boxes import ClassBoxes
from awsdet.ops.reference.box_decoding import clip, decode


def decode_boxes(deltas, boxes, image_size, *, num_classes, stds, max_log_ratio):
    """Arguments and result are those of `awsdet.ops.decode_boxes.decode_boxes`."""
    batch, count = tf.unstack(tf.shape(boxes)[:2])
    deltas = tf.cast(tf.stop_gradient(deltas), tf.float32)
    decoded = decode(deltas, tf.stop_gradient(boxes)[:, :, tf.newaxis], stds, max_log_ratio)
    decoded = tf.broadcast_to(decoded, [batch, count, num_classes, 4])
    classes = tf.tile(tf.range(num_classes)[tf.newaxis], [batch, count])
    return ClassBoxes(clip(tf.reshape(decoded, [batch, count * num_classes, 4]), image_size), classes)
