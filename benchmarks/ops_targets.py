"""Times the targets of the RPN and of the RoIs (anchors, match, sample) beside their twins in plain TensorFlow.

Two images of 800 x 1344, five levels with three anchors per cell, 8 or 60 objects of 16 to 600 px per image. The RoIs
are sampled from 1000 proposals, each an object that was moved by about 20 px, and from the objects themselves.
"""

import numpy as np
import tensorflow as tf

from awsdet.ops.anchors import anchors
from awsdet.ops.match import match
from awsdet.ops.reference import anchors as plain_anchors
from awsdet.ops.reference import match as plain_match
from awsdet.ops.reference import sample as plain_sample
from awsdet.ops.sample import sample
from benchmarks.ops_measure import Row, alternate
from benchmarks.ops_nms import HEIGHT, LEVELS, WIDTH, some_objects

OBJECTS = (8, 60)
PROPOSALS = 1000
STRIDES = tuple(4 << level for level in range(LEVELS))
RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "min_positive_iou": 0.3}
ROIS = {"positive_iou": 0.5, "negative_iou": 0.5, "min_positive_iou": 0.5, "with_truth": True}
COMMON = {"low_quality_matches": True, "ignore_iof": 0.5}


def all_anchors(function):
    """The AnchorBoxes that `function` makes."""
    sizes = [[-(-HEIGHT // stride), -(-WIDTH // stride)] for stride in STRIDES]
    ratios = np.sqrt([0.5, 1.0, 2.0])
    half = [np.stack([4 * stride / ratios, 4 * stride * ratios], axis=1) for stride in STRIDES]
    shapes = [np.concatenate([-side, side], axis=1).tolist() for side in half]
    image_size = tf.constant([[HEIGHT, WIDTH], [HEIGHT, WIDTH - 150]])
    return function(tf.constant(sizes), image_size, strides=STRIDES, shapes=shapes, pad_multiple=32)


def truth(count):
    """(boxes [2, count, 4], classes, is_target, is_crowd)."""
    random = np.random.default_rng(count)
    boxes = np.stack([some_objects(random, count) for _ in range(2)]).astype(np.float32)
    classes = tf.constant(random.integers(0, 80, (2, count)), tf.int32)
    return tf.constant(boxes), classes, tf.ones([2, count], tf.bool), tf.zeros([2, count], tf.bool)


def rpn_targets(objects, keys, of_anchors, of_match, of_sample):
    boxes, classes, is_target, is_crowd = objects
    made = all_anchors(of_anchors)
    matched = of_match(made.boxes, made.valid, boxes, is_target, is_crowd, **RPN, **COMMON)
    return of_sample(matched, keys, made.boxes, boxes, classes, size=256, positive_limit=128)


def roi_targets(objects, proposals, keys, of_match, of_sample):
    boxes, classes, is_target, is_crowd = objects
    valid = tf.ones(tf.shape(proposals)[:2], tf.bool)
    matched = of_match(proposals, valid, boxes, is_target, is_crowd, **ROIS, **COMMON)
    options = {"size": 512, "positive_limit": 128, "background": 80, "with_truth": True}
    return of_sample(matched, keys, proposals, boxes, classes, **options)


def graph(function, *arguments):
    traced = tf.function(lambda: function(*arguments), autograph=False)
    return lambda: traced().counts.numpy()


def rows():
    found = []
    count = all_anchors(anchors).boxes.shape[0]
    for number in OBJECTS:
        objects, random = truth(number), np.random.default_rng(7)
        keys = tf.random.stateless_uniform([2, count], [1, number])
        ours = graph(rpn_targets, objects, keys, anchors, match, sample)
        theirs = graph(rpn_targets, objects, keys, plain_anchors.anchors, plain_match.match, plain_sample.sample)
        found.append(Row(f"targets: RPN, {number} objects", *_times(ours, theirs)))
        near = objects[0].numpy()[:, random.integers(0, number, PROPOSALS)]
        proposals = tf.constant((near + random.normal(0, 20, near.shape)).astype(np.float32))
        keys = tf.random.stateless_uniform([2, number + PROPOSALS], [2, number])
        ours = graph(roi_targets, objects, proposals, keys, match, sample)
        theirs = graph(roi_targets, objects, proposals, keys, plain_match.match, plain_sample.sample)
        found.append(Row(f"targets: RoIs, {number} objects", *_times(ours, theirs)))
    return found


def _times(ours, theirs):
    ours, theirs = alternate(ours, theirs)
    return ours, "the twin", theirs
