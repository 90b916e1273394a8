"""Non-maximum suppression for a batch of images, in plain TensorFlow."""

from typing import NamedTuple

import tensorflow as tf


class Kept(NamedTuple):
    """What NMS leaves of B images, by falling score, padded to K."""

    indices: tf.Tensor  # int32 [B, K] into the image's boxes, 0 where there are fewer
    scores: tf.Tensor  # float32 [B, K], 0 where there are fewer
    count: tf.Tensor  # int32 [B]


def nms(boxes, scores, classes, *, iou_threshold, score_threshold, max_output):
    """Greedy class-wise NMS; boxes of different classes (or pyramid levels) never suppress one another.

    Args:
        boxes: float32 [B, N, 4]; scores: float32 [B, N]; classes: int32 [B, N].
        iou_threshold: a box goes when its IoU with a kept, better one is above it.
        score_threshold: only scores above it are kept.
        max_output: K, the most boxes to keep an image.

    Returns Kept. Equal scores keep their order.
    """
    # Classes are pulled apart by an offset larger than any box, as mmcv does, so that one call serves all of them.
    low = tf.reduce_min(boxes, axis=[1, 2], keepdims=True)
    extent = tf.reduce_max(boxes, axis=[1, 2], keepdims=True) - low + 1.0
    apart = boxes - low + tf.cast(classes, tf.float32)[..., tf.newaxis] * extent

    def one_image(inputs):
        image_boxes, image_scores = inputs
        kept = tf.image.non_max_suppression(
            image_boxes, image_scores, max_output, iou_threshold=iou_threshold, score_threshold=score_threshold
        )
        count = tf.shape(kept)[0]
        rest = [[0, max_output - count]]
        return tf.pad(kept, rest), tf.pad(tf.gather(image_scores, kept), rest), count

    padded = [max_output]
    signature = (tf.TensorSpec(padded, tf.int32), tf.TensorSpec(padded, tf.float32), tf.TensorSpec([], tf.int32))
    return Kept(*tf.map_fn(one_image, (apart, scores), fn_output_signature=signature))
