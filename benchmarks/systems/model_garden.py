"""Measures TensorFlow Model Garden's Mask R-CNN in its own environment; prints one line of JSON.

    .venv-peers/bin/python benchmarks/systems/model_garden.py train --size=512 --batch=2 --dtype=float32

It is used as its own trainer uses it: its task builds model, labels, losses and step from the published R50-FPN config,
which trains everything with live BatchNorm. `--head=2fc` replaces its box head of four convolutions by ours.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf
from official.vision import registry_imports  # noqa: F401
from official.vision.configs import maskrcnn
from official.vision.dataloaders import maskrcnn_input
from official.vision.tasks.maskrcnn import MaskRCNNTask

from benchmarks import measure, scene

NUM_CLASSES = 80


def task_of(size, dtype, head):
    """Their task for the R50-FPN config at size x size. `head` is 4conv1fc (theirs) or 2fc (ours)."""
    config = maskrcnn.maskrcnn_resnetfpn_coco().task
    config.model.num_classes = NUM_CLASSES + 1  # includes the background
    config.model.input_size = [size, size, 3]
    config.model.norm_activation.use_sync_bn = False
    if head == "2fc":
        config.model.detection_head.num_convs, config.model.detection_head.num_fcs = 0, 2
    config.init_checkpoint = None
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if dtype == "bfloat16" else "float32")
    return MaskRCNNTask(config)


def labelled(task, batch):
    """The (images, labels) that their parser would make of a Scene."""
    config, size = task.task_config.model, batch.images.shape[1]
    parser = maskrcnn_input.Parser(
        output_size=[size, size],
        min_level=config.min_level,
        max_level=config.max_level,
        num_scales=config.anchor.num_scales,
        aspect_ratios=config.anchor.aspect_ratios,
        anchor_size=config.anchor.anchor_size,
        include_mask=True,
        dtype="bfloat16" if tf.keras.mixed_precision.global_policy().compute_dtype == "bfloat16" else "float32",
    )
    parsed = []
    for image, boxes, classes, polygons in zip(*batch):
        masks = [_mask(polygon, size) for polygon in polygons]
        parsed.append(
            parser._parse_train_data(
                {
                    "image": tf.constant(image),
                    "groundtruth_boxes": tf.constant(boxes[:, [1, 0, 3, 2]] / size),
                    "groundtruth_classes": tf.constant(classes + 1, tf.int64),
                    "groundtruth_is_crowd": tf.zeros([len(boxes)], tf.bool),
                    "groundtruth_instance_masks": tf.constant(np.stack(masks)),
                }
            )
        )
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *parsed)


def _mask(polygon, size):
    from PIL import Image, ImageDraw

    picture = Image.new("L", (size, size))
    ImageDraw.Draw(picture).polygon([tuple(point) for point in polygon.tolist()], fill=1)
    return np.asarray(picture, np.float32)


def train(flags):
    task = task_of(flags.size, flags.dtype, flags.head)
    model = task.build_model()
    images, labels = labelled(task, scene.make(flags.size, flags.batch, num_classes=NUM_CLASSES))
    optimizer = tf.keras.optimizers.legacy.SGD(1e-4, momentum=0.9)
    step = tf.function(lambda: task.train_step((images, labels), model, optimizer)[task.loss])
    losses = []
    times = measure.seconds(lambda: losses.append(float(step())), flags.warmup, flags.steps)
    return {"seconds": times, "losses": losses}


def detect(flags):
    task = task_of(flags.size, flags.dtype, flags.head)
    model = task.build_model()
    images, labels = labelled(task, scene.make(flags.size, flags.batch, num_classes=NUM_CLASSES))
    sizes, anchors = labels["image_info"][:, 1, :], labels["anchor_boxes"]
    call = tf.function(lambda: model(images, image_shape=sizes, anchor_boxes=anchors, training=False))
    found = []

    def detected():
        outputs = call()
        outputs["detection_masks"].numpy()
        found.append(outputs["num_detections"].numpy().tolist())

    times = measure.wall_and_processor_seconds(detected, flags.warmup, flags.steps)
    return {**times, "detections": found[-1]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("train", "detect"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--head", default="4conv1fc", choices=("4conv1fc", "2fc"))
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    result = train(given) if given.what == "train" else detect(given)
    print(json.dumps({**result, "peak_memory": measure.peak_memory()}))
