"""Takes a few training steps and detects once, alone, so that CUDA compiles and keeps all the kernels that a run needs.

`warming` starts it: `python -m awsdet.training.warm_child`, with {"config": file, "overrides": […], "output": folder,
"resume": bool, "parent": process number} as JSON on stdin. It trains on images of its own and writes nothing.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf

from awsdet import config as config_module
from awsdet.data.reader.make_batch import make_batch
from awsdet.launch.orphans import end_with_parent
from awsdet.models import builder
from awsdet.runtime.errors import UserError
from awsdet.training.gpu_start import largest_size
from awsdet.training.inputs import prepare
from awsdet.training.optimizer import build_optimizer
from awsdet.training.transfer import take_weights
from awsdet.weights import named

_OBJECTS = 8  # per image
_CORNERS = 12  # of each object's polygon
_UPDATES = 2


def main():
    """Does what stdin says. Returns the exit code, or in words why it cannot."""
    request = json.load(sys.stdin)
    end_with_parent()()
    if os.getppid() != request["parent"]:
        return "the process that started this one has ended"
    try:
        config = config_module.load(request["config"], request["overrides"])
        inputs = prepare(config, request["output"], request["resume"], processes=1, chief=False)
        warm(config, inputs.class_names, "" if request["resume"] else _weights(config))
    except UserError as error:
        return str(error)
    return 0


def _weights(config):
    """What the run starts from; empty if rank 0 has yet to fetch it, since this host may not be that of rank 0."""
    weights = config.train.init_from
    return "" if named.to_fetch(weights) else weights


def warm(config, class_names, weights=""):
    """Trains a detector of this config for two updates, at a learning rate of 0, and detects in the same images.

    weights: path of those to start from, as the run does; empty: random ones.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[0], "GPU")
        tf.config.experimental.set_memory_growth(gpus[0], True)
    tf.keras.utils.set_random_seed(config.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    detector = builder.build(_finding_all(config), class_names)
    if weights:
        take_weights(detector, weights)
    accumulate = config.train.accumulate_steps
    detector.compile(
        build_optimizer(config.optimizer, 0.0, config.model.precision),
        clip_norm=config.optimizer.clip_norm,
        accumulate_steps=accumulate,
        loss_normalizer=config.train.loss_normalizer,
    )
    batch = example(config, len(class_names))
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    detector.fit(batches, epochs=1, steps_per_epoch=_UPDATES * accumulate, verbose=0)
    detector.detect(batch)["boxes"].numpy()


def example(config, num_classes):
    """A batch of the config's largest size, with objects of all sizes on images that have one colour.

    The colour is that which normalisation makes zero, so that no random weights make a loss that is not finite.
    """
    height, width = largest_size(config.data)
    images = config.data.batch_size
    colour = np.array(config.model.image.mean, np.float64).round().astype(np.uint8)
    pixels = np.broadcast_to(colour, (height, width, 3))
    sides = np.geomspace(0.04, 0.8, _OBJECTS)[:, np.newaxis] * [width, height]
    low = ([width, height] - sides) * np.linspace(0, 1, _OBJECTS)[:, np.newaxis]
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    circle = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygons = low[:, np.newaxis] + sides[:, np.newaxis] * circle
    boxes = np.concatenate([low, low + sides], axis=-1)
    with tf.device("CPU:0"):  # as the reader does
        return make_batch(
            [pixels] * images,
            [boxes] * images,
            [np.arange(_OBJECTS) % num_classes] * images,
            [[[polygon.ravel()] for polygon in polygons]] * images,
            pad_multiple=config.data.pad_multiple,
        )


def _finding_all(config):
    """The config with no threshold for scores, so that a detector that has learned nothing finds objects too."""
    config = config.copy_and_resolve_references()
    with config.unlocked():
        config.model.box_head.score_threshold = config.model.retina_head.score_threshold = 0.0
    return config


if __name__ == "__main__":
    sys.exit(main())
