"""Compares a reference's training: losses and gradients of the first step, and the steps that follow."""

import numpy as np
import tensorflow as tf

from awsdet.training.optimizer import SGD
from tests.parity.gradients import gradient_rows
from tests.parity.reference import features_given
from tests.parity.rows import Row
from tests.parity.training_step import has_masks, reference_batch, step, training_outputs

RUNS = 8  # runs with weights that differ by one rounding, if the plain run misses


def training_rows(reference):
    """Compares targets, loss terms and every parameter's gradient of step 0.

    Targets and losses that miss their tolerance are compared again from the reference's features.
    """
    rows, batch, gradients = _target_and_loss_rows(reference)
    if not all(row.holds for row in rows):
        with features_given(reference) as how:
            again, _, _ = _target_and_loss_rows(reference)
        rows = [row if row.holds else other._replace(name=f"{row.name}{how}") for row, other in zip(rows, again)]
    return rows + gradient_rows(reference, batch, gradients)


def _target_and_loss_rows(reference):
    """Returns rows, the batch that gives the reference's mask targets, and the gradients."""
    rows, batch = [], reference_batch(reference)
    if has_masks(reference):
        outputs = training_outputs(reference, reference.batch)  # the file's masks are polygons
        rows += reference.kind.mask_target_rows(reference, outputs, "polygons")
    outputs, terms, gradients = step(reference, batch)
    if has_masks(reference):
        rows += reference.kind.mask_target_rows(reference, outputs, "bitmaps")
    rows += reference.kind.target_rows(reference, outputs)
    rows += _loss_rows(reference, {name: float(value) for name, value in terms.items()})
    return rows, batch, gradients


def _loss_rows(reference, terms):
    keys = {name: f"losses/{reference.kind.loss_key(name)}" for name in terms}
    theirs = {key for key in reference.arrays if key.startswith("losses/") and "loss_" in key}
    rows = [Row("loss terms that one side has alone", len(theirs ^ set(keys.values())), 0)]
    for name, value in terms.items():
        expected = float(reference.arrays.get(keys[name], np.nan))
        rows.append(Row(f"loss {name}", abs(value - expected) / max(abs(expected), 1e-12), 1e-4))
    return rows


def _roundings(detector):
    """Yields 0, 1, …: first with the weights as they are, then with random changes of one rounding in each of them."""
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


def trajectory_row(reference):
    """The largest relative difference of the total loss in any of the reference's steps on its one batch.

    The first steps change the network fast, and near-ties decide which RoIs are sampled. Runs that differ by one
    rounding of the weights may be several per cent apart after four steps. So if the plain run misses the tolerance,
    the reference must lie within the range of such runs, widened by the tolerance.
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
    variables, meta, batch = reference.detector.trainable_variables, reference.meta, reference_batch(reference)
    optimizer = SGD(meta["lr"], momentum=meta["momentum"], weight_decay=meta["weight_decay"])
    losses = []
    for _ in range(steps):
        _, terms, gradients = step(reference, batch)
        optimizer.apply_gradients(zip(gradients, variables))
        losses.append(sum(map(float, terms.values())))
    return np.array(losses)
