"""Times the RPN's proposals and the decoding of a box head beside TensorFlow's own operations in a tf.function.

An image is 1344 x 800, with 268,569 anchors of five levels and random logits and deltas. The peer takes top_k of each
level's logits and decodes what is chosen; ours is one operator. NMS is not part of it (benchmarks/ops_nms.py).
"""

import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection.anchors import Anchors
from awsdet.ops.decode_boxes import decode_boxes
from awsdet.ops.top_boxes import top_boxes
from benchmarks.ops_measure import Row, alternate

STRIDES, CODER = (4, 8, 16, 32, 64), box_lib.BoxCoder()
OPTIONS = {"stds": CODER.stds, "max_log_ratio": box_lib.MAX_LOG_RATIO}


def proposals(images, limit=2000):
    cells = [(-(-800 // stride), 1344 // stride) for stride in STRIDES]
    anchors = [Anchors((8,), (0.5, 1.0, 2.0)).of_level(size, stride) for size, stride in zip(cells, STRIDES)]
    every = tf.concat(anchors, axis=0)
    logits = [tf.random.stateless_normal([images, len(part)], (i, 1)) for i, part in enumerate(anchors)]
    deltas = [0.2 * tf.random.stateless_normal([images, len(part), 4], (i, 2)) for i, part in enumerate(anchors)]
    size = tf.constant([[800, 1344]] * images)

    @tf.function
    def ours():
        return top_boxes([part[..., tf.newaxis] for part in logits], deltas, every, size, limit=limit, **OPTIONS)

    @tf.function
    def peer():
        scores, boxes, levels = [], [], []
        for level, (level_logits, level_deltas, level_anchors) in enumerate(zip(logits, deltas, anchors)):
            top = tf.math.top_k(tf.sigmoid(level_logits), min(limit, level_logits.shape[1]))
            chosen = tf.gather(level_deltas, top.indices, batch_dims=1)
            decoded = CODER.decode(chosen, tf.gather(level_anchors, top.indices))
            scores.append(top.values)
            boxes.append(box_lib.clip(decoded, size))
            levels.append(tf.fill(tf.shape(top.values), level))
        scores, boxes, levels = (tf.concat(parts, axis=1) for parts in (scores, boxes, levels))
        return boxes, tf.where(box_lib.larger_than(boxes, 0.0), scores, -1.0), levels

    times = alternate(ours, peer)
    return Row(f"top_boxes {images} x 268569, {limit} per level", times[0], "top_k, gather, decode, clip", times[1])


def detections(images, count=1000, classes=80):
    deltas = tf.random.stateless_normal([images, count, classes, 4], (1, 3))
    boxes = tf.random.stateless_uniform([images, count, 4], (1, 4)) * [600.0, 400.0, 1300.0, 800.0]
    size = tf.constant([[800, 1344]] * images)

    @tf.function
    def ours():
        return decode_boxes(deltas, boxes, size, num_classes=classes, **OPTIONS)

    @tf.function
    def peer():
        decoded = CODER.decode(deltas, boxes[:, :, tf.newaxis])
        labels = tf.tile(tf.range(classes)[tf.newaxis], [images, count])
        return box_lib.clip(tf.reshape(decoded, [images, -1, 4]), size), labels

    times = alternate(ours, peer)
    return Row(f"decode_boxes {images} x {count} x {classes}", times[0], "decode, clip", times[1])


def rows():
    return [*(proposals(images) for images in (1, 2, 8)), *(detections(images) for images in (1, 8))]
