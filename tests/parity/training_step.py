"""One training step of a reference's detector that samples as the reference does: the first candidates by index."""

import tensorflow as tf

from tests.parity import batch as batch_lib


def step(reference, batch):
    """Runs one training step. Returns outputs, loss terms, gradients."""
    with tf.GradientTape() as tape:
        outputs, terms, total = forward(reference, batch)
    return outputs, terms, tape.gradient(total, reference.detector.trainable_variables)


def forward(reference, batch):
    """Runs the forward pass. Returns outputs, loss terms, their sum."""
    outputs = training_outputs(reference, batch)
    terms = reference.detector.normalized(outputs.terms.losses)
    return outputs, terms, tf.add_n(list(terms.values()))


def training_outputs(reference, batch):
    """The outputs of the detector in training, with the reference's sampling."""

    def keys(name, shape):
        return tf.broadcast_to(tf.range(tf.cast(shape[1], tf.float32)), shape)

    return reference.detector.training_outputs(reference.images, batch, keys)


def has_masks(reference):
    """Whether the file holds the mask targets of step 0."""
    return "train/stage0/mask_targets" in reference.arrays


def reference_batch(reference):
    """The batch that gives the reference's mask targets: its masks, if any, come from bitmaps."""
    if not has_masks(reference):
        return reference.batch
    bitmaps = batch_lib.bitmap_masks(reference.arrays, len(reference.batch["image_size"]))
    return {**reference.batch, "masks": bitmaps}
