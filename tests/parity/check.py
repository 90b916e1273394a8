"""Compares our detectors and ops with reference files, number for number.

    python tests/parity/check.py FILE.npz ...

prints what was compared, the error and the tolerance, and exits with 1 if any is missed. Everything is read from the
file: the same code serves every model, size, class count and batch.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pycocotools import mask as coco_mask

from awsdet.models import rpn
from awsdet.models.faster_rcnn import STRIDES
from awsdet.ops.paste_masks import paste_masks
from awsdet.train.optimizer import SGD
from awsdet.weights import mmdet
from tests.parity import reference as reference_lib
from tests.parity.ops import compare_ops
from tests.parity.rows import Row, relative_max

LOSSES = {
    "rpn_class_loss": "loss_rpn_cls",
    "rpn_box_loss": "loss_rpn_bbox",
    "class_loss": "loss_cls",
    "box_loss": "loss_bbox",
    "mask_loss": "loss_mask",
}


def compare(path):
    """All comparisons that the file allows, a list of Row."""
    with np.load(path) as file:
        is_model = "model_config" in file.files
        ops = {} if is_model else {key: file[key] for key in file.files}
    return compare_model(reference_lib.load(path)) if is_model else compare_ops(ops)


def compare_model(reference):
    """Outputs, proposals, detections, training targets, losses, gradients and five steps of training."""
    rows, pyramid = _forward(reference)
    rows += _inference(reference, pyramid)
    rows += _training(reference)
    rows.append(_trajectory(reference))
    return rows


def _forward(reference):
    detector, arrays = reference.detector, reference.arrays
    backbone = detector.backbone(reference.images)
    pyramid = detector.neck(backbone)
    output = detector.rpn_head(pyramid)
    rows = [_nhwc(arrays, f"C{level}", value) for level, value in enumerate(backbone, start=2)]
    for level, features in enumerate(pyramid, start=2):
        rows.append(_nhwc(arrays, f"P{level}", features))
        batch, height, width = features.shape[:3]
        for name, values in (("rpn_logits", output.logits), ("rpn_deltas", output.deltas)):
            grid = tf.reshape(values[level - 2], [batch, height, width, -1])
            rows.append(_nhwc(arrays, f"{name}_P{level}", grid))
    return rows, pyramid


def _nhwc(arrays, name, ours):
    return Row(f"forward {name}", relative_max(ours, arrays[f"forward/{name}_nchw"].transpose(0, 2, 3, 1)), 1e-4)


def _inference(reference, pyramid):
    detector, arrays, size = reference.detector, reference.arrays, reference.batch["image_size"]
    anchors = rpn.level_anchors(pyramid, STRIDES, detector.settings.anchors)
    proposals = rpn.propose(detector.rpn_head(pyramid), anchors, size, detector.settings.rpn, training=False)
    found = {key: value.numpy() for key, value in detector.detect_in_pyramid(pyramid, size).items()}
    rows = []
    for image in range(len(size)):
        key = f"forward/proposals/{image}"
        count = int(proposals.count[image])
        ours = (proposals.boxes[image, :count].numpy(), proposals.scores[image, :count].numpy(), np.zeros(count, int))
        theirs = (arrays[f"{key}/boxes_xyxy"], arrays[f"{key}/scores"])
        rows.append(_unmatched(f"proposals {image}", ours, (*theirs, np.zeros(len(theirs[0]), int)))[0])
        key = f"detections/{image}"
        count = found["count"][image]
        ours = tuple(found[name][image, :count] for name in ("boxes", "scores", "classes"))
        theirs = tuple(arrays[f"{key}/{name}"] for name in ("boxes_xyxy", "scores", "labels"))
        row, pairs = _unmatched(f"detections {image}", ours, theirs)
        rows.append(row)
        if f"{key}/masks" in arrays:
            rows.append(_pasted(reference, found, image, pairs))
    return rows


def _unmatched(name, ours, theirs):
    """How many boxes of either side have no partner of the same class within 0.05 px, 1e-4 in score, and so in rank
    up to ties.

    Each side is boxes, scores, classes. Returns a Row and the pairs (our index, their index).
    """
    left = list(range(len(ours[0])))
    pairs = []
    for index, (box, score, label) in enumerate(zip(*theirs)):
        for candidate in left:
            near = np.abs(ours[0][candidate] - box).max() <= 0.05 and abs(ours[1][candidate] - score) <= 1e-4
            if near and ours[2][candidate] == label:
                left.remove(candidate)
                pairs.append((candidate, index))
                break
    return Row(f"{name}: boxes without partner", len(left) + len(theirs[0]) - len(pairs), 0), pairs


def _pasted(reference, found, image, pairs):
    arrays = reference.arrays
    shape = arrays[f"detections/{image}/masks_shape"]
    theirs = np.unpackbits(arrays[f"detections/{image}/masks"], axis=-1, count=int(shape[2]))
    height, width = arrays["image_size_hw"][image]
    threshold = reference.detector.settings.mask_head.threshold
    ours = paste_masks(found["masks"][image], found["boxes"][image], (height, width), threshold)
    ours = coco_mask.decode(ours).transpose(2, 0, 1)
    wrong = [np.mean(ours[mine] != theirs[index]) for mine, index in pairs]
    return Row(f"detections {image}: wrong mask pixels", float(np.mean(wrong)), 1e-3)


def _training(reference):
    detector, arrays, batch = reference.detector, reference.arrays, reference.batch
    images = len(batch["image_size"])
    rows, observed = [], {}
    for source, masks in (
        ("polygons", batch["masks"]),
        ("bitmaps", reference_lib.bitmap_masks(arrays, images)),
    ):
        with tf.GradientTape() as tape:
            terms, targets = losses_and_targets(detector, reference.images, {**batch, "masks": masks})
            total = tf.add_n(list(terms.values()))
        observed[source] = (tape.gradient(total, detector.trainable_variables), terms, targets)
        if "train/stage0/mask_targets" in arrays:
            wrong = np.mean(targets["mask_targets"].numpy() != arrays["train/stage0/mask_targets"])
            rows.append(
                Row(f"mask targets from {source}: wrong pixels", wrong, {"polygons": 1.5e-2, "bitmaps": 1e-3}[source])
            )
    gradients, terms, targets = observed["bitmaps"]
    rows += _targets(arrays, targets, images)
    rows += [
        Row(f"loss {name}", _relative(float(value), float(arrays[f"losses/{LOSSES[name]}"])), 1e-4)
        for name, value in terms.items()
    ]
    return rows + _gradients(detector, gradients, arrays)


def losses_and_targets(detector, images, batch):
    """Losses with the reference's sampling (the first candidates by index), and what they were computed from."""

    def keys(name, shape):
        return tf.broadcast_to(tf.range(tf.cast(shape[1], tf.float32)), shape)

    outputs = detector.training_outputs(images, batch, keys)
    return detector.normalized(*detector.loss_sums(outputs)), outputs


def _targets(arrays, targets, images):
    rois = tf.nest.map_structure(lambda tensor: tensor.numpy(), targets["rois"])
    labels, deltas = (
        np.split(arrays[f"train/stage0/{name}"], np.cumsum(_sampled(arrays, images))[:-1])
        for name in ("roi_labels", "roi_delta_targets")
    )
    alone, wrong_labels, worst = 0, 0, 0.0
    for image in range(images):
        ours, theirs = rois.rois[image][rois.valid[image]], arrays[f"train/stage0/sampled_rois/{image}/boxes_xyxy"]
        zeros = np.zeros(max(len(ours), len(theirs)))
        row, pairs = _unmatched("", (ours, zeros, zeros), (theirs, zeros[: len(theirs)], zeros[: len(theirs)]))
        alone += row.error
        for mine, index in pairs:
            wrong_labels += rois.labels[image, mine] != labels[image][index]
            delta = rois.deltas[image, mine] * rois.positive[image, mine]
            worst = max(worst, np.abs(delta - deltas[image][index]).max())
    return [
        Row("sampled RoIs without partner", alone, 0),
        Row("RoI labels that differ", float(wrong_labels), 0),
        Row("RoI box targets", float(worst), 1e-2),
    ]


def _sampled(arrays, images):
    return [len(arrays[f"train/stage0/sampled_rois/{image}/boxes_xyxy"]) for image in range(images)]


def _gradients(detector, gradients, arrays):
    names = {str(name) for name in arrays["trainable"]}
    keys = {variable.name: key for key, variable in mmdet.table(detector).items()}
    ours = {keys[v.name] for v in detector.trainable_variables}
    rows = [Row("trainable parameters that differ", len(names ^ ours), 0)]
    floor = 1e-4 * max(np.linalg.norm(value) for key, value in arrays.items() if key.startswith("grads/"))
    errors = {}
    for variable, gradient in zip(detector.trainable_variables, gradients):
        key = keys[variable.name]
        theirs = mmdet.from_source(key, arrays[f"grads/{key}"], detector.settings)
        difference = np.linalg.norm(tf.convert_to_tensor(gradient).numpy() - theirs)
        errors[key] = difference / max(np.linalg.norm(theirs), floor)
    worst = max(errors, key=errors.get)
    return [*rows, Row(f"gradients of {len(errors)} parameters, worst {worst}", errors[worst], 1e-3)]


def _trajectory(reference):
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
    detector, meta, batch = reference.detector, reference.meta, reference.batch
    batch = {**batch, "masks": reference_lib.bitmap_masks(reference.arrays, len(batch["image_size"]))}
    optimizer = SGD(meta["lr"], momentum=meta["momentum"], weight_decay=meta["weight_decay"])
    losses = []
    for _ in range(steps):
        with tf.GradientTape() as tape:
            terms, _ = losses_and_targets(detector, reference.images, batch)
            total = tf.add_n(list(terms.values()))
        gradients = tape.gradient(total, detector.trainable_variables)
        optimizer.apply_gradients(zip(gradients, detector.trainable_variables))
        losses.append(float(total))
    return np.array(losses)


def _relative(ours, theirs):
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def main(paths):
    """Prints a table for each file. Returns the exit code."""
    missed = 0
    for path in paths:
        print(path)
        for row in compare(path):
            print(f"  {'ok  ' if row.holds else 'MISS'} {row.name:<72} {row.error:10.3g}  tolerance {row.tolerance:g}")
            missed += not row.holds
    print(f"{missed} comparisons missed" if missed else "all comparisons hold")
    return 1 if missed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
