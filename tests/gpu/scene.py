"""The detector and the batch of the proof: a Mask R-CNN with weights that behave as trained ones do in three respects.

Its features neither grow nor vanish from layer to layer, so that 16 bits can hold them; its RoIs lie on and beside the
objects, so that each image has its share of positives, as late in training; and it is sure of some of its classes.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.data.reader.make_batch import BATCH_SPEC, make_batch
from awsdet.models.builder import build

CORNERS = 12  # of each object's polygon
NUM_CLASSES = 80
_BRANCH = 0.25  # of a residual block's sum that its branch may add
_SURENESS = 8.0  # factor of the box head's logits; untrained, every class would have a probability of 1 %


class Scene(NamedTuple):
    """What is computed. The defaults are those of training on COCO, but for the weights, which are random."""

    overrides: tuple = ()  # of the config, as on the command line
    height: int = 800
    width: int = 1344
    objects: int = 8  # per image

    def detector(self, precision="float32"):
        """A Mask R-CNN R50-FPN, on the device that the caller has chosen."""
        config = config_lib.mask_rcnn()
        for override in (f"model.precision={precision}", *self.overrides):
            config_lib.apply_override(config, override)
        detector = build(config, [f"class {i}" for i in range(NUM_CLASSES)])
        for variable in detector.variables:
            if variable.name.startswith("backbone.") and ".conv3.gamma" in variable.name:
                variable.assign(tf.fill(variable.shape, _BRANCH))
        logits = detector.roi_heads.stages[0].box_head.logits
        logits.kernel.assign(_SURENESS * logits.kernel)
        sample_around_objects(detector)
        return detector

    def batch(self, images, seed=0):
        """A training batch as the reader gives it, in the host's memory: random pixels, polygons as masks."""
        random = np.random.default_rng(seed)
        pixels = random.integers(0, 256, (images, self.height, self.width, 3), np.uint8)
        side = min(self.height, self.width)
        extent = np.exp(random.uniform(np.log(side / 25), np.log(side / 2), (images, self.objects, 2)))
        low = random.uniform(0, 1, (images, self.objects, 2)) * ([self.width, self.height] - extent)
        boxes = np.concatenate([low, low + extent], axis=-1).astype(np.float32)
        angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
        circle = 0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        polygons = low[:, :, np.newaxis] + extent[:, :, np.newaxis] * circle
        masks = [[[list(polygon.reshape(-1))] for polygon in image] for image in polygons]
        classes = random.integers(0, NUM_CLASSES, (images, self.objects))
        with tf.device("CPU:0"):
            batch = make_batch(list(pixels), list(boxes), list(classes), masks)
            return {**batch, "image_id": tf.range(images, dtype=tf.int64)}


def repeated(batch):
    """The same batch again and again, as a dataset that promises nothing of sizes: one trace serves all of them."""
    batches = tf.data.Dataset.from_tensors(batch).repeat()
    return tf.data.experimental.from_variant(tf.data.experimental.to_variant(batches), BATCH_SPEC)


def sample_around_objects(detector):
    """From now on the detector samples its RoIs from boxes on and beside the objects, which are always the same.

    It still computes the proposals of its RPN. Two devices round their scores differently, and so may put two of them
    in another order, after which they would sample other RoIs and have other losses.
    """
    training_step = detector.rpn.training_step

    def replaced(pyramid, truth, *arguments):
        proposals, step = training_step(pyramid, truth, *arguments)
        count, objects = tf.shape(proposals.boxes)[1], tf.shape(truth.boxes)[1]
        chosen = tf.gather(truth.boxes, tf.range(count) % objects, axis=1)
        extent = tf.tile(chosen[..., 2:] - chosen[..., :2], [1, 1, 2])
        with tf.device("CPU:0"):  # the same numbers for every device, image and rank
            offsets = tf.random.stateless_uniform([count, 4], (1, 2), -0.1, 0.1)
            beside = 0.6 * tf.cast(tf.range(count) % 2, tf.float32)[:, tf.newaxis]  # every other box is a negative
        with tf.control_dependencies([proposals.boxes]):  # else the graph would leave out the proposals
            boxes = chosen + extent * tf.identity(offsets + beside)
        valid = tf.ones_like(proposals.valid)
        return proposals._replace(boxes=boxes, valid=valid), step

    detector.rpn.training_step = replaced


# A narrow network and small images, for the tests of the proof itself.
SMALL = Scene(
    (
        "model.backbone.base_width=8",
        "model.fpn.channels=16",
        "model.rpn.channels=16",
        "model.rpn.pre_nms_train=100",
        "model.rpn.post_nms_train=60",
        "model.rpn.pre_nms_test=100",
        "model.rpn.post_nms_test=60",
        "model.box_head.channels=32",
        "model.box_head.sample_size=32",
        "model.mask_head.channels=16",
    ),
    height=96,
    width=128,
    objects=4,
)
