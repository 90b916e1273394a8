"""The work that is counted: a detector and a batch as in training on COCO at 800 x 1344."""

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.data.reader.make_batch import BATCH_SPEC
from awsdet.models.builder import build
from awsdet.models.detector import IMAGES_SPEC
from awsdet.training.optimizer import build_optimizer

HEIGHT, WIDTH = 800, 1344
OBJECTS = 8
CORNERS = 12  # of each object's polygon
NUM_CLASSES = 80


def detector(precision, family="mask_rcnn", optimizer="sgd"):
    """A detector with ResNet-50 FPN, ready to train. family: see `awsdet.config`. optimizer: optimizer.name."""
    config = getattr(config_lib, family)()
    config.model.precision = precision
    config.optimizer.name = optimizer
    model = build(config, [f"class {i}" for i in range(NUM_CLASSES)])
    model.compile(build_optimizer(config.optimizer, 0.02, precision))
    return model


def batch(images, objects=OBJECTS):
    """A training batch as the reader gives it, in the host's memory."""
    random = np.random.default_rng(1)
    extent = np.exp(random.uniform(np.log(32), np.log(400), (images, objects, 2)))
    low = random.uniform(0, 1, (images, objects, 2)) * ([WIDTH, HEIGHT] - extent)
    boxes = np.concatenate([low, low + extent], axis=-1).astype(np.float32)
    angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
    circle = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygons = low[:, :, np.newaxis] + extent[:, :, np.newaxis] * circle
    size = np.tile(np.array([[HEIGHT, WIDTH]], np.int32), (images, 1))
    with tf.device("CPU:0"):
        parts = tf.RaggedTensor.from_uniform_row_length(tf.constant(polygons.reshape(-1), tf.float32), 2 * CORNERS)
        parts = tf.RaggedTensor.from_row_lengths(parts, np.ones(images * objects, np.int64))
        runs = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), np.zeros(images * objects, np.int64))
        per_image = np.full(images, objects, np.int64)
        return {
            "image": tf.identity(np.zeros((images, HEIGHT, WIDTH, 3), np.uint8)),
            "image_size": tf.identity(size),
            "original_size": tf.identity(size),
            "image_id": tf.range(images, dtype=tf.int64),
            "boxes": tf.identity(boxes),
            "classes": tf.identity(random.integers(0, NUM_CLASSES, (images, objects)).astype(np.int32)),
            "is_crowd": tf.zeros([images, objects], tf.bool),
            "masks": {
                "polygons": tf.RaggedTensor.from_row_lengths(parts, per_image),
                "rles": tf.RaggedTensor.from_row_lengths(runs, per_image),
            },
        }


# Integer operations that TensorFlow runs on the device. It runs all others on the host, wherever they are placed.
_ON_DEVICE = ("Cast", "GatherV2", "Prod", "Tile", "Transpose", "Where")


def training_step(model, moved=None):
    """The compiled training step, traced for any size as `fit` traces it.

    Gradients may compute shapes on the device, of which the host then reads the result. A hollow device would tell
    zeros, and the step would fail. If `moved` is a list, the host computes such shapes, and their names are appended to
    it, since a GPU would have to be waited for; older versions of awsdet can be counted only so.
    """

    def step(batch):
        results = model.train_step(batch)
        if moved is not None:
            moved.extend(_move_shapes(tf.compat.v1.get_default_graph()))
        return results

    return tf.function(step, input_signature=[BATCH_SPEC], autograph=False)


def _move_shapes(graph):
    """Places on the host what computes shapes of gradients on the device. Returns the names of these operations."""
    names = []
    for operation in graph.get_operations():
        shapes = operation.name.startswith("gradient_tape") or "Ragged" in operation.name
        integers = all(value.dtype in (tf.int32, tf.int64) for value in [*operation.inputs, *operation.outputs])
        if shapes and integers and operation.type in _ON_DEVICE and "CPU" not in operation.device:
            operation._clear_attr("_class")  # else it would follow the tensor that it belongs to
            operation._set_device("/device:CPU:0")
            names.append(f"{operation.name}:{operation.type}")
    return names


def detection(model):
    """The compiled detection of objects, traced for any size as `detect` traces it."""
    return tf.function(model.call, input_signature=[IMAGES_SPEC], autograph=False)
