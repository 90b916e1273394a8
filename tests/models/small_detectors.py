"""Small detectors and batches for tests."""

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.data.reader.make_batch import make_batch
from awsdet.models.builder import build

SMALL_SETTINGS = (
    "model.backbone.depth=14",
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
    """A batch dict of random images; `objects` is, for each image, a list of (box, class, is_crowd).

    Masks are the boxes, as polygons.
    """
    images = np.random.default_rng(seed).integers(0, 256, (len(objects), *size, 3)).astype(np.uint8)
    boxes, classes, crowds = ([[entry[part] for entry in image] for image in objects] for part in range(3))
    masks = [[None if is_crowd else [rectangle_polygon(box)] for box, _, is_crowd in image] for image in objects]
    batch = make_batch(images, boxes, classes, masks, crowds)
    return {**batch, "image_id": tf.range(100, 100 + len(objects), dtype=tf.int64)}


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
