"""Small detectors and batches for tests."""

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.models.builder import build

SMALL_SETTINGS = (
    "model.backbone.base_width=8",
    "model.fpn.channels=16",
    "model.rpn.channels=16",
    "model.box_head.channels=32",
    "model.box_head.sample_size=32",
    "model.mask_head.channels=16",
    "model.mask_iou_head.channels=16",
    "model.mask_iou_head.fc_channels=32",
    "model.retina_head.channels=16",
    "model.retina_head.convs=2",
    "model.rpn.pre_nms_train=100",
    "model.rpn.post_nms_train=60",
    "model.rpn.pre_nms_test=100",
    "model.rpn.post_nms_test=60",
)


def small_config(*overrides, detector="mask_rcnn"):
    config = getattr(config_lib, detector)()
    for override in (*SMALL_SETTINGS, *overrides):
        config_lib.apply_override(config, override)
    return config


def small_detector(*overrides, detector="mask_rcnn", seed=1):
    return build(small_config(f"seed={seed}", *overrides, detector=detector), ["a", "b", "c"])


def batch_of(objects, size=(96, 128), seed=0):
    """A batch dict. `objects`: for each image a list of (box, class, is_crowd).

    The mask of an object is its box, as a polygon.
    """
    random = np.random.default_rng(seed)
    slots = max([1, *map(len, objects)])
    boxes, classes, crowd = [], [], []
    polygons = []
    for image in objects:
        padding = slots - len(image)
        boxes.append([box for box, _, _ in image] + [[0.0] * 4] * padding)
        classes.append([label for _, label, _ in image] + [-1] * padding)
        crowd.append([is_crowd for _, _, is_crowd in image] + [False] * padding)
        polygons.append([[] if is_crowd else [rectangle_polygon(box)] for box, _, is_crowd in image])
    flat = [part for image in polygons for parts in image for part in parts]
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(np.reshape(flat, [-1]), tf.float32), np.full(len(flat), 8, np.int64)
    )
    ragged = tf.RaggedTensor.from_row_lengths(
        ragged, np.array([len(parts) for image in polygons for parts in image], np.int64)
    )
    counts = np.array([len(image) for image in objects], np.int64)
    no_runs = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), np.zeros(counts.sum(), np.int64))
    return {
        "image": tf.constant(random.integers(0, 256, (len(objects), *size, 3)), tf.uint8),
        "image_size": tf.constant([size] * len(objects), tf.int32),
        "image_id": tf.range(100, 100 + len(objects), dtype=tf.int64),
        "boxes": tf.constant(boxes, tf.float32),
        "classes": tf.constant(classes, tf.int32),
        "is_crowd": tf.constant(crowd, tf.bool),
        "masks": {
            "polygons": tf.RaggedTensor.from_row_lengths(ragged, counts),
            "rles": tf.RaggedTensor.from_row_lengths(no_runs, counts),
        },
    }


def rectangle_polygon(box):
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


TWO_IMAGES = [
    [([10.0, 10, 60, 70], 0, False), ([40.0, 30, 120, 90], 2, False)],
    [([5.0, 8, 50, 40], 1, False)],
]


def keys_in_index_order(name, shape):
    """Sampling keys that take the first candidates, as the reference tensors do."""
    return tf.broadcast_to(tf.range(tf.cast(shape[1], tf.float32)), shape)
