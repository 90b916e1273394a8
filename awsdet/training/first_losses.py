"""The losses that new heads have at the first step, as far as they follow from the settings alone.

The last layer of a new class head has small weights, so its outputs are nearly equal: a softmax over C classes and
background gives each of them 1 / (C + 1), a sigmoid gives 1/2, and a focal head starts from its prior. Box losses
follow from the data. The mask loss does too: the last layer of a new mask head has He's initial values, not small ones.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from awsdet.models.heads.retina_head import PRIOR


class FirstLoss(NamedTuple):
    """A loss at the first step.

    Attributes:
        name: as in metrics.jsonl.
        value: what is expected; of a focal loss, the part of the positives, to which their background adds a little.
        why: the value before its weight, as a formula.
        layer: mmdetection's name of the layer that must be new for it.
        background: of a focal loss, what each negative anchor adds, before it is divided by the number of positives.
    """

    name: str
    value: float
    why: str
    layer: str
    background: float = 0.0


def first_losses(model: Any, num_classes: int) -> Iterator[FirstLoss]:
    """The FirstLosses of config.model; none for a detector or a box head that is not awsdet's own, or of weight 0."""
    return (loss for loss in _all(model, num_classes) if loss.value)


def _all(model, num_classes):
    if model.detector == "retinanet":
        yield _focal(model.retina_head, num_classes)
    elif model.detector.endswith("rcnn"):
        yield FirstLoss("rpn_class_loss", math.log(2) * model.rpn.class_loss_weight, "ln 2", "rpn_head.rpn_cls")
        if model.box_head.name == "shared":
            yield from _softmax(model, num_classes)


def _softmax(model, num_classes):
    value, why = math.log(num_classes + 1) * model.box_head.class_loss_weight, f"ln {num_classes + 1}"
    if not model.detector.startswith("cascade"):
        yield FirstLoss("class_loss", value, why, "roi_head.bbox_head.fc_cls")
        return
    for k, weight in enumerate(model.cascade.loss_weights):
        yield FirstLoss(f"stage{k}_class_loss", value * weight, why, f"roi_head.bbox_head.{k}.fc_cls")


def _focal(head, num_classes):
    alpha, gamma = head.focal_alpha, head.focal_gamma
    of_object = -alpha * (1 - PRIOR) ** gamma * math.log(PRIOR)
    of_other = -(1 - alpha) * PRIOR**gamma * math.log(1 - PRIOR)
    weight = head.class_loss_weight
    positives = (of_object + (num_classes - 1) * of_other) * weight
    background = num_classes * of_other * weight
    return FirstLoss("class_loss", positives, f"prior {PRIOR}", "bbox_head.retina_cls", background)
