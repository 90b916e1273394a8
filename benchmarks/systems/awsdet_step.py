"""Measures our own training step or detection, in a process of its own; prints one line of JSON.

    python benchmarks/systems/awsdet_step.py train --size=512 --batch=2 --dtype=float32 --load=trained

The step is the one that `fit` runs, traced for images of any size, as for the reader's batches.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.models.builder import build
from awsdet.training.optimizer import SGD
from benchmarks import measure, scene, step_cost

NUM_CLASSES = 80
MODELS = {"r50": "mask_rcnn_r50_fpn_1x.py", "shapes": "shapes_mask_rcnn.py"}  # files in configs/


def detector_of(model, dtype):
    config = config_lib.load(measure.ROOT / "configs" / MODELS[model])
    config.model.precision = "mixed_bfloat16" if dtype == "bfloat16" else "float32"
    return build(config, [f"class {i}" for i in range(NUM_CLASSES)])


def batch_of(made):
    """A Scene as the batch dict that our reader gives."""
    images, objects = made.classes.shape
    height, width = made.images.shape[1:3]
    polygons = tf.RaggedTensor.from_uniform_row_length(tf.constant(made.polygons.reshape(-1)), made.polygons[0, 0].size)
    polygons = tf.RaggedTensor.from_row_lengths(polygons, np.ones(images * objects, np.int64))  # one part each
    per_image = np.full(images, objects, np.int64)
    empty = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), np.zeros(images * objects, np.int64))
    size = np.tile(np.array([[height, width]], np.int32), (images, 1))
    return {
        "image": tf.constant(made.images),
        "image_size": tf.constant(size),
        "original_size": tf.constant(size),
        "image_id": tf.range(images, dtype=tf.int64),
        "boxes": tf.constant(made.boxes),
        "classes": tf.constant(made.classes),
        "is_crowd": tf.zeros([images, objects], tf.bool),
        "masks": {
            "polygons": tf.RaggedTensor.from_row_lengths(polygons, per_image),
            "rles": tf.RaggedTensor.from_row_lengths(empty, per_image),
        },
    }


def any_size(value):
    """The TensorSpec of a tensor of the batch; all dimensions are unknown except the last one of images and boxes."""
    if isinstance(value, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None] * value.shape.rank, value.dtype, value.ragged_rank, tf.int64)
    known = [d if i and d in (2, 3, 4) else None for i, d in enumerate(value.shape)]
    return tf.TensorSpec(known, value.dtype)


def jittered_proposals(detector, random):
    """Makes the detector sample its RoIs from proposals that lie around the objects, as late in training.

    The RPN's own proposals are still computed, then replaced.
    """
    training_step = detector.rpn.training_step

    def replaced(pyramid, truth, *arguments):
        proposals, step = training_step(pyramid, truth, *arguments)
        images, count = tf.unstack(tf.shape(proposals.boxes)[:2])
        objects = tf.shape(truth.boxes)[1]
        chosen = tf.gather(truth.boxes, tf.range(count) % objects, axis=1)
        extent = tf.tile(chosen[..., 2:] - chosen[..., :2], [1, 1, 2])
        moved = chosen + extent * random.uniform([images, count, 4], -0.1, 0.1)
        # Half of them just miss an object: these are the negatives of a trained detector.
        far = chosen + extent * 0.6 * tf.cast(tf.range(count) % 2, tf.float32)[:, tf.newaxis]
        boxes = tf.where((tf.range(count) % 2 == 0)[:, tf.newaxis], moved, far)
        boxes += 0.0 * proposals.boxes  # else the graph would leave out the RPN's proposals
        counts = tf.fill([images], count)
        return proposals._replace(boxes=boxes, count=counts), step

    detector.rpn.training_step = replaced


def train(flags):
    detector = detector_of(flags.model, flags.dtype)
    if flags.load == "trained":
        jittered_proposals(detector, tf.random.Generator.from_seed(1))
    detector.compile(SGD(1e-4, momentum=0.9, weight_decay=1e-4))
    batch = batch_of(scene.make(flags.size, flags.batch, num_classes=NUM_CLASSES))
    spec = tf.nest.map_structure(any_size, batch)
    step = tf.function(detector.train_step, input_signature=[spec], autograph=False)
    losses = []

    def call():
        losses.append(float(step(batch)["loss"]))

    times = measure.wall_and_processor_seconds(call, flags.warmup, flags.steps)
    result = {**times, "losses": losses, "traces": step.experimental_get_tracing_count()}
    result["peak_memory"] = measure.peak_memory()
    if flags.parts:
        positives = int(tf.reduce_sum(tf.cast(_sampled(detector, batch).positive, tf.int32)))
        result["positives"] = positives
        result["flops"] = step_cost.flops_by_part(detector, spec, batch, positives)
        result["profile"] = step_cost.seconds_by_part(lambda: step(batch)["loss"].numpy())
    return result


def _sampled(detector, batch):
    keys = detector.sampling_keys
    images = detector.normalize_images(batch)
    return tf.function(lambda: detector.training_outputs(images, batch, keys).stages[0].rois, autograph=False)()


def detect(flags):
    detector = detector_of(flags.model, flags.dtype)
    use_fast_convolutions(detector)  # as `awsdet.load` does
    if flags.load == "fresh":
        bias = detector.roi_heads.stages[0].box_head.logits.bias
        bias.assign(tf.one_hot(NUM_CLASSES, NUM_CLASSES + 1, 1e4))  # the last bias is that of the background
    batch = batch_of(scene.make(flags.size, flags.batch, num_classes=NUM_CLASSES))
    found = []

    def call():
        outputs = detector.detect(batch)
        outputs["masks"].numpy()
        found.append(outputs["count"].numpy())

    times = measure.wall_and_processor_seconds(call, flags.warmup, flags.steps)
    return {**times, "detections": found[-1].tolist(), "peak_memory": measure.peak_memory()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("train", "detect"))
    parser.add_argument("--model", choices=list(MODELS), default="r50")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--load", default="fresh")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--parts", action="store_true", help="also counts FLOPs and time by part")
    given = parser.parse_args()
    print(json.dumps(train(given) if given.what == "train" else detect(given)))
