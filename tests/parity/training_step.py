"""One training step of a reference's detector, with the reference's sampling: the first candidates by index."""

import tensorflow as tf

from tests.parity import batch as batch_lib


def step(reference, batch):
    """(outputs, loss terms, gradients) of one training step."""
    with tf.GradientTape() as tape:
        outputs, terms, total = forward(reference, batch)
    return outputs, terms, tape.gradient(total, reference.detector.trainable_variables)


def forward(reference, batch):
    """(outputs, loss terms, their sum)."""
    outputs = training_outputs(reference, batch)
    terms = reference.detector.normalized(outputs.terms.losses)
    return outputs, terms, tf.add_n(list(terms.values()))


def training_outputs(reference, batch):
    """The detector's."""

    def keys(name, shape):
        return tf.broadcast_to(tf.range(tf.cast(shape[1], tf.float32)), shape)

    return reference.detector.training_outputs(reference.images, batch, keys)


def has_masks(reference):
    """Whether the file tells the mask targets of step 0."""
    return "train/stage0/mask_targets" in reference.arrays


def reference_batch(reference):
    """The batch whose mask targets are the reference's: of bitmaps, where there are masks."""
    if not has_masks(reference):
        return reference.batch
    bitmaps = batch_lib.bitmap_masks(reference.arrays, len(reference.batch["image_size"]))
    return {**reference.batch, "masks": bitmaps}
