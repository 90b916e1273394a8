"""Watches how a run learns, and says once what does not look like learning, with what to look at.

It sees only what the log has fetched anyway, and the metrics of evaluations. Each rule is written so that a run which
learns stays silent; a run that does not learn may stay silent too.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import trainable_records
from awsdet.training.first_losses import FirstLoss, first_losses
from awsdet.training.gpu_start import largest_size
from awsdet.training.run import Run

_FAR = 2.0  # the factor between a first loss and the expected one from which on it is told
_SAME = 50  # steps that a loss has one value
_SHOWN = 50  # images with objects that are trained on while a loss of objects is 0
_UNSEEN = 200  # steps instead of these, if it is not known which images have objects
_JUDGED = 200  # images over which the proposals are judged
_RECALL = 0.05  # share of the objects that have a proposal
_ZEROS = 3  # evaluations

# End of a loss's name -> why it may be 0 all the time. Others may be 0 in a run that learns.
_OF_OBJECTS = {
    "rpn_box_loss": "no anchor was matched to an object: awsdet inspect --draw=DIR --config=FILE shows which objects "
    "have one",
    "box_loss": "no object was trained on: awsdet inspect --draw=DIR --config=FILE shows the first images as training "
    "sees them, after data.crop and data.min_visible",
    "mask_loss": "no object with a mask was trained on: awsdet inspect counts them; --config.model.detector="
    "faster_rcnn does without masks",
}

_NO_AP = (
    f"box AP was exactly 0 in the last {_ZEROS} evaluations: awsdet predict --draw=DIR shows what is found. If nothing "
    "is, the run is too short or the learning rate unsuitable; if boxes are in other places, check that bbox is x, y, "
    "width, height (awsdet inspect --draw=DIR shows the boxes); if they have other names, train and val number their "
    "classes differently"
)


class Expected(NamedTuple):
    """What a run is judged by.

    Attributes:
        first: FirstLosses of the heads that are new. anchors: per image at most, for those of a focal loss.
        warm_up: steps of the warm-up.
        images: per step of this rank. accumulate: steps per update.
        objects: the mean number of objects per image that the RoI heads are given; 0 if it is not known.
        rois: sampled per image at most; 0 for a detector without proposals.
        with_objects: share of the images that have objects; None if it is not known.
        weightless: losses whose weight is 0.
    """

    first: list[FirstLoss]
    anchors: int
    warm_up: int
    images: int
    accumulate: int = 1
    objects: float = 0.0
    rois: int = 0
    with_objects: float | None = None
    weightless: tuple = ()


class Watch:
    """The rules, for rank 0; see `Expected`. It lasts as long as the process, in however many worlds."""

    def __init__(self, expected: Expected):
        self._expected, self._told = expected, set()
        self._same = {}  # name of a loss -> (its last value, for how many steps)
        self._positives = []  # share of positives of each step after the warm-up
        self._zeros = 0  # evaluations after the warm-up with an AP of 0

    def see(self, done: int, values: dict[str, np.ndarray]) -> None:
        """Looks at the losses and metrics of some steps, arrays [steps]. done: the steps of the run before these."""
        if done == 0:
            self._first(values)
        self._constant(values)
        self._proposals(done, values)

    def evaluated(self, step: int, metrics: dict[str, Any]) -> None:
        """Looks at the metrics of an evaluation at a step."""
        if step < self._expected.warm_up:
            return
        self._zeros = self._zeros + 1 if metrics.get("box_ap") == 0.0 else 0
        if self._zeros == _ZEROS:
            self._tell("box_ap", _NO_AP)

    def _first(self, values):
        for loss in self._expected.first:
            if loss.name not in values:
                continue
            seen, most = float(values[loss.name][0]), loss.value
            if loss.background:
                positives = max(float(np.nan_to_num(values.get("positives", [0.0])[0])), 1.0)
                most += loss.background * self._expected.anchors / positives
            if loss.value / _FAR <= seen <= most * _FAR:
                continue
            about = f"about {loss.value:.2f}" if most == loss.value else f"between {loss.value:.2f} and {most:.2f}"
            self._tell(
                f"first {loss.name}",
                f"{loss.name} is {seen:.3g} at the first step, and a new head should have {about} ({loss.why}): check "
                "that model.image and model.backbone suit the weights in train.init_from, and that these are the "
                "intended ones",
            )

    def _constant(self, values):
        for name, column in values.items():
            if not name.endswith("_loss") or name in self._expected.weightless:
                continue
            before, count = self._same.get(name, (math.nan, 0))
            other = np.flatnonzero(column != column[-1])
            if len(other):
                count = len(column) - 1 - int(other[-1])
            else:
                count = len(column) + (count if before == column[-1] else 0)
            self._same[name] = column[-1], count
            if column[-1]:
                self._stuck(name, column[-1], count)
            else:
                self._zero(name, count)

    def _stuck(self, name, value, count):
        if count >= _SAME * self._expected.accumulate:
            self._tell(
                name,
                f"{name} has been exactly {value:.6g} for {count} steps, so nothing is learned: the outputs of its "
                "head do not change; start again with a lower optimizer.learning_rate, or optimizer.clip_norm=10",
            )

    def _zero(self, name, count):
        why = next((why for end, why in _OF_OBJECTS.items() if name.endswith(end)), None)
        shown = self._expected.with_objects
        enough = count >= _UNSEEN if shown is None else count * self._expected.images * shown >= _SHOWN
        if why and enough and count >= _SAME:
            self._tell(name, f"{name} has been 0 for {count} steps: {why}")

    def _proposals(self, done, values):
        """The RoI heads are given all objects as RoIs too, and each is a positive of itself. So the positives beyond
        the objects are proposals that fit one, and their number per object is at least the recall."""
        expected, name = self._expected, next((n for n in values if n.endswith("roi_positives")), None)
        enough = -(-_JUDGED // expected.images)
        if name is None or not (expected.objects and expected.rois) or len(self._positives) >= enough:
            return
        column = values[name][max(0, expected.warm_up - done) :]
        self._positives += [share for share in column.tolist() if not math.isnan(share)]
        if len(self._positives) < enough:
            return
        recall = float(np.mean(self._positives)) * expected.rois / expected.objects - 1
        if recall < _RECALL:
            self._tell(
                name,
                f"{max(recall, 0):.0%} of the objects at most have a proposal with the IoU of a positive, after the "
                "warm-up: the RPN does not find them. awsdet inspect --draw=DIR --config=FILE shows whether the "
                "anchors fit the objects; otherwise the learning rate may be unsuitable",
            )

    def _tell(self, key, text):
        if key not in self._told:
            self._told.add(key)
            logging.warning("%s", text)


def expected_of(run: Run, new_layers: frozenset | None, begins: bool) -> Expected:
    """What a run is judged by.

    new_layers: names of the layers that are new; None: all. begins: whether it begins with this process.
    """
    config, manifest = run.config, run.inputs.train
    model, images = config.model, config.data.batch_size
    height, width = largest_size(config.data)
    strides, per_cell = _anchor_grid(run.detector)
    first = [
        loss
        for loss in first_losses(model, len(run.inputs.class_names))
        if begins and (new_layers is None or loss.layer in new_layers) and _is_derivable(loss, config)
    ]
    expected = Expected(
        first=first,
        anchors=sum(-(-height // stride) * -(-width // stride) for stride in strides) * per_cell,
        warm_up=round(config.schedule.warmup_steps * run.pace.accumulate / run.pace.ratio),
        images=images,
        accumulate=run.pace.accumulate,
        weightless=tuple(_weightless(model)),
    )
    if manifest is None:
        return expected
    objects = manifest.num_objects[trainable_records(manifest, reader_options(config.data))]
    expected = expected._replace(with_objects=float((objects > 0).mean()))
    if model.detector == "retinanet" or config.data.canvas or min(config.data.crop) < 1:
        return expected  # no proposals, or a number of objects that a crop changes
    return expected._replace(
        objects=_objects_per_image(manifest, objects, model.box_head), rois=model.box_head.sample_size
    )


def _objects_per_image(manifest, boxes, head):
    """The mean number of objects per image among the positives; 0 if they leave too few places for proposals to judge.

    boxes: of each image, crowd regions among them.
    """
    limit = int(head.sample_size * head.positive_fraction)
    positives = np.minimum(boxes, limit)
    if positives[boxes <= limit / 2].sum() < positives.sum() / 2:
        return 0.0
    counts = manifest.annotations
    share = counts.objects / max(int(manifest.num_objects.sum()), 1) if counts else 1.0
    return float(positives.mean()) * share


def _is_derivable(loss, config):
    """Whether the normalisation of a focal loss is that of the batch itself."""
    by_batch = not config.model.retina_head.normalizer_momentum and config.train.loss_normalizer == "process"
    return by_batch or not loss.background


def _anchor_grid(detector):
    """(strides, anchors per cell) of a detector; none if it has no anchors at its own place, as one that users add."""
    from awsdet.models import retinanet

    anchors = getattr(detector, "anchors", None)
    return (retinanet.STRIDES, anchors.per_cell) if hasattr(anchors, "per_cell") else ((), 0)


def _weightless(model):
    if not model.rpn.box_loss_weight:
        yield "rpn_box_loss"
    head = model.retina_head if model.detector == "retinanet" else model.box_head
    stages = [f"stage{k}_" for k in range(len(model.cascade.ious))] if "cascade" in model.detector else [""]
    weights = model.cascade.loss_weights if "cascade" in model.detector else [1.0]
    for stage, weight in zip(stages, weights):
        if not head.box_loss_weight * weight:
            yield f"{stage}box_loss"
        if not model.mask_head.loss_weight * weight:
            yield f"{stage}mask_loss"
