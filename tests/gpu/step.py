"""Part `step`: one float32 training step and one detection on both devices, with equal weights, batch and keys.

Products are computed in full float32, not in TF32. Convolutions add in another order on a GPU, so results differ in
their last bits. Whatever decides by such numbers may then decide otherwise between two that are nearly equal, which is
why RoIs are sampled from boxes that do not depend on them (`scene.sample_around_objects`), and why a few proposals and
detections may be without a partner.
"""

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.reader.make_batch import BATCH_SPEC
from tests.gpu.compare import EXACT, Tolerance, compare
from tests.gpu.outcome import error_text, failure, judged
from tests.gpu.scene import Scene

SCENE, IMAGES = Scene(height=512, width=640), 2
LOSSES = Tolerance(of_own=1e-4)
# A ReLU whose input is nearly 0 lets a gradient through on one device and not on the other. On one CPU, a change of the
# weights by 3e-7 changed single gradients by up to 2e-3 of their norm, and all gradients together by 2e-4.
ALL_GRADIENTS = 1e-3  # of the norm of all gradients, by which they may differ together
GRADIENT = 1e-2  # of its norm, by which the gradient of a variable may differ
NUMBER = 1e-3  # of the largest number in all gradients, by which a number may differ
TINY = 1e-6  # of the norm of all gradients: one below it counts as this
PARTNERS = 0.98  # the least share of proposals, and of detections, that the other device found too
PIXELS, PROBABILITY = 0.1, 1e-3  # by which partners may differ: in a coordinate, in a score or a pixel of a mask


class Result(NamedTuple):
    """What one device computed, as NumPy arrays."""

    decisions: dict  # which anchors and RoIs are sampled, and what they are to learn
    losses: dict
    gradients: dict  # by the name of the variable
    proposals: dict  # boxes, valid
    found: dict  # what `Detector.detect` returns


@contextlib.contextmanager
def _full_float32():
    """A context, or a decorator, in which products of float32 are not computed in TF32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@_full_float32()
def run(devices, clock, scene=SCENE, images=IMAGES, change=lambda detector, number: None):
    """Compares what two devices compute; returns an Outcome.

    Args:
        devices: pair of names, such as ("GPU:0", "CPU:0").
        clock: Clock; the step is not begun if it is over.
        scene, images: Scene, and how many images the batch has.
        change: called with the detector of each device and 0 or 1 before it computes.
    """
    results, weights = [], None
    for number, device in enumerate(devices):
        if clock.over():
            return judged({}, [], [f"the step on {device}, since {clock.limit:.0f} s were over"])
        with tf.device(device):
            detector = scene.detector()
        if weights is not None:
            detector.set_weights(weights)
        weights = detector.get_weights()
        change(detector, number)
        try:
            results.append(compute(detector, device, scene.batch(images)))
        except tf.errors.OpError as error:
            return judged({}, [failure(f"the step on {device}", error_text(error))])
    figures, failures = judge(*results)
    return judged(figures, failures)


def compute(detector, device, batch):
    """The Result of a detector on a device."""

    @tf.function(input_signature=[BATCH_SPEC], autograph=False)
    def train(batch):
        with tf.device(device), tf.GradientTape() as tape:
            step = detector.training_outputs(detector.normalize_images(batch), batch, _keys)
            losses = detector.normalized(step.terms.losses)
            total = tf.add_n(list(losses.values()))
        with tf.device(device):
            gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, detector.trainable_variables)]
        sampled = {"anchors": step.rpn.targets.sample.index, "positive anchors": step.rpn.targets.sample.positive}
        rois = {"RoIs": step.stages[0].rois.rois, "labels": step.stages[0].rois.labels}
        return {**sampled, **rois, "mask targets": step.stages[0].mask_targets}, losses, gradients

    @tf.function(input_signature=[BATCH_SPEC], autograph=False)
    def detect(batch):
        with tf.device(device):
            pyramid = detector.pyramid(detector.normalize_images(batch))
            proposals = detector.rpn.propose(pyramid, batch["image_size"])
            found = detector.roi_heads.detect(pyramid, proposals, batch["image_size"])
        return {"boxes": proposals.boxes, "valid": proposals.valid}, found

    decisions, losses, gradients = train(batch)
    names = [variable.name for variable in detector.trainable_variables]
    proposals, found = detect(batch)
    return Result(
        *tf.nest.map_structure(lambda value: value.numpy(), (decisions, losses)),
        {name: gradient.numpy() for name, gradient in zip(names, gradients)},
        *tf.nest.map_structure(lambda value: value.numpy(), (proposals, found)),
    )


def _keys(name, shape):
    """Sampling keys that are the same on every device."""
    with tf.device("CPU:0"):
        return tf.random.stateless_uniform(shape, (3, sum(map(ord, name))))


def judge(ours, theirs):
    """Compares two Results. Returns (figures, failures)."""
    figures, failures = {}, []

    def check(name, mine, other, tolerance):
        figures[name], wrong = compare(name, mine, other, tolerance)
        failures.extend([wrong] if wrong else [])

    for name, value in theirs.decisions.items():
        check(name, ours.decisions[name], value, EXACT)
    for name, value in theirs.losses.items():
        check(name, ours.losses[name], value, LOSSES)
        figures[name] = {"ours": float(ours.losses[name]), "theirs": float(value)}
    figures["gradients"], wrong = _gradients(ours.gradients, theirs.gradients)
    failures += wrong
    for name, wrong in (
        _partners("proposals", _listed(ours.proposals), _listed(theirs.proposals), figures),
        _partners("detections", _listed(ours.found), _listed(theirs.found), figures),
    ):
        failures += [failure(name, wrong)] if wrong else []
    return figures, failures


def _gradients(ours, theirs):
    """(figures, failures) of the gradients of all variables, dicts of arrays."""
    apart = {name: ours[name].astype(np.float64) - value for name, value in theirs.items()}
    largest = max(np.abs(value).max() for value in theirs.values())
    norm = _norm(theirs.values())
    if not np.isfinite(norm) or norm == 0:
        return {}, [failure("gradients", f"the norm of all of them is {norm}")]
    total = _norm(apart.values()) / norm
    norms = {name: _norm([apart[name]]) / max(_norm([value]), TINY * norm) for name, value in theirs.items()}
    numbers = {name: float(np.abs(value).max() / largest) for name, value in apart.items()}
    failures = [] if total <= ALL_GRADIENTS else [failure("all gradients", f"differ by {total:.1e} of their norm")]
    for rows, limit, what in ((norms, GRADIENT, "its norm"), (numbers, NUMBER, "the largest number in all gradients")):
        for name, value in rows.items():
            if not value <= limit:
                text = f"differs by {value:.1e} of {what}, which may be {limit:.0e}"
                failures.append(failure(f"gradient of {name}", text))
    return {"all, of their norm": total, "of its norm": _worst(norms), "of the largest": _worst(numbers)}, failures


def _norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(array.astype(np.float64))) for array in arrays)))


def _worst(rows):
    return dict(sorted(rows.items(), key=lambda item: -item[1])[:3])


def _listed(found):
    """The proposals or detections of each image: list of dicts of arrays with one row per box."""
    valid = found.get("valid")
    if valid is None:
        valid = np.arange(found["boxes"].shape[1]) < found["count"][:, np.newaxis]
    rows = [name for name in ("boxes", "scores", "classes", "masks") if name in found]
    return [{name: found[name][i][valid[i]] for name in rows} for i in range(len(valid))]


def _partners(name, ours, theirs, figures):
    """Looks for partners. Writes into `figures`; returns (name, what is wrong), or (name, "")."""
    counts = [len(image["boxes"]) for image in (*ours, *theirs)]
    met = sum(_met(mine, other) + _met(other, mine) for mine, other in zip(ours, theirs))
    share = met / max(sum(counts), 1)
    figures[name] = {"found": counts, "share with a partner": round(share, 5)}
    if min(counts) == 0:
        return name, f"an image has none; the counts of all are {counts}"
    if share < PARTNERS:
        return name, f"only {share:.1%} were found by both devices, of {PARTNERS:.0%} that must be; counts {counts}"
    return name, ""


def _met(ours, theirs):
    """How many of `ours` have a partner: a box nearly at the same place and, of detections, equal in all else."""
    if not len(ours["boxes"]) or not len(theirs["boxes"]):
        return 0
    alike = np.abs(ours["boxes"][:, np.newaxis] - theirs["boxes"]).max(axis=-1) <= PIXELS
    if "classes" in ours:
        alike &= ours["classes"][:, np.newaxis] == theirs["classes"]
        alike &= np.abs(ours["scores"][:, np.newaxis] - theirs["scores"]) <= PROBABILITY
        masks = [part["masks"].reshape(len(part["masks"]), -1) for part in (ours, theirs)]
        alike &= np.abs(masks[0][:, np.newaxis] - masks[1]).max(axis=-1) <= PROBABILITY
    return int(alike.any(axis=1).sum())
