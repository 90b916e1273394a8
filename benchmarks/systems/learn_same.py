"""Our half of the proof that both networks are the same: what ours computes for one batch, as an npz file.

    python benchmarks/systems/learn_same.py DATA PREPARED SEED OUT.npz

It holds image ids and flips of the batch, the features P2 to P6, RPN outputs, box and mask outputs of RoIs around the
objects, mask targets of the objects, four losses and their gradients. All anchors and all RoIs are sampled, so that
nothing is drawn at random. The batch is the first of the run whose images all have objects.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import numpy as np
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.read import read_manifest
from awsdet.models.builder import build
from awsdet.models.heads import mask_head
from awsdet.weights import mmdet
from benchmarks.learn.settings import ALL_ANCHORS, ALL_ROIS, STATISTICS
from benchmarks.learn.torch_names import to_torchvision
from benchmarks.systems.learn_prepare import CONFIG, order_of

LOSSES = ("rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss")  # not of masks: their targets differ


def first_batch(config, manifest):
    """(step, batch): the first batch of the run whose images all have objects."""
    data = train_dataset(manifest, reader_options(config.data), seed=config.seed, rank=0, world_size=1, epochs=1)
    for step, batch in enumerate(data.dataset):
        if np.all(np.any(batch["classes"].numpy() >= 0, axis=1)):
            return step, batch
    raise SystemExit("no batch has objects in all its images; give more images")


def rois_of(batch):
    """RoIs around the objects of a batch: boxes [R, 4], image [R], class [R], object [R] among those of its image."""
    image, number = np.nonzero((batch["classes"].numpy() >= 0) & ~batch["is_crowd"].numpy())
    boxes = batch["boxes"].numpy()[image, number]
    extent = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    moved = boxes + extent * np.random.default_rng(1).uniform(-0.1, 0.1, boxes.shape)
    return moved.astype(np.float32), image, batch["classes"].numpy()[image, number], number


def outputs(detector, images, batch, given, training):
    """What the detector computes for `images` and their batch, dict of arrays. `given`: rois, image, classes."""
    arrays = {}
    with tf.GradientTape() as tape:
        losses = detector.compute_losses(batch, training=training)
        total = tf.add_n([losses[name] for name in LOSSES])
    arrays.update({f"loss/{name}": losses[name].numpy() for name in LOSSES})
    table, sides = mmdet.table(detector), mmdet.windows(detector)
    trained = {name: variable for name, variable in table.items() if variable.trainable}
    gradients = {
        name: mmdet.to_source(name, tf.convert_to_tensor(gradient).numpy(), sides)
        for name, gradient in zip(trained, tape.gradient(total, list(trained.values())))
        if gradient is not None  # those of the mask head
    }
    arrays.update({f"gradient/{name}": array for name, array in to_torchvision(gradients).items()})

    pyramid = detector.pyramid(images, training=training)
    arrays.update({f"P{level}": features.numpy() for level, features in enumerate(pyramid, start=2)})
    output = detector.rpn.head(pyramid)
    arrays["rpn_logits"] = tf.concat(output.logits, 1).numpy()
    arrays["rpn_deltas"] = tf.concat(output.deltas, 1).numpy()
    stage, rois = detector.roi_heads.stages[0], (tf.constant(given["rois"]), tf.constant(given["image"], tf.int32))
    found = stage.box_head(stage.pooler.pool(pyramid, *rois))
    arrays["box_logits"], arrays["box_deltas"] = found.logits.numpy(), found.deltas.numpy()
    arrays["mask_logits"] = stage.masks.head(stage.masks.pooler.pool(pyramid, *rois), given["classes"]).numpy()
    return arrays


def main(data, prepared, seed, out):
    config = config_lib.load(CONFIG)
    config.seed = int(seed)
    config.model.rpn.update(sample_size=ALL_ANCHORS)
    config.model.box_head.update(sample_size=ALL_ROIS)
    manifest = read_manifest(f"{data}/records", "train")
    detector = build(config, manifest.class_names)
    step, batch = first_batch(config, manifest)
    ids, flips = order_of(config, manifest)
    boxes, image, classes, number = rois_of(batch)
    arrays = {
        "ids": ids[step],
        "flips": flips[step],
        "rois": boxes,
        "image": image,
        "classes": classes,
        "objects": number,
    }

    images = detector.normalize_images(batch)
    arrays["images"] = images.numpy()
    for statistics in STATISTICS:
        found = outputs(detector, images, batch, arrays, training=statistics == "batch")
        arrays.update({f"{statistics}/{name}": array for name, array in found.items()})
    boxes, index = tf.constant(boxes), tf.constant(image, tf.int32)
    targets = mask_head.mask_targets(
        batch["masks"], batch["image_size"], boxes, index, tf.constant(number, tf.int32), 28
    )
    arrays["mask_targets"] = targets.numpy()
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
