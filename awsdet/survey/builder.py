"""The only file of `awsdet.survey` that sees a config: what decides which objects a detector can learn, as values."""

import statistics
from typing import Any, NamedTuple

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.options import ReaderOptions
from awsdet.data.reader.sizes import InputSize
from awsdet.detection.anchors import Anchors
from awsdet.models import builder, retinanet, two_stage
from awsdet.runtime.errors import UserError


class AnchorRules(NamedTuple):
    """The sizes that images get in training, and the anchors that lie on them.

    Attributes:
      input_size: InputSize of training; of several short sides, the middle one.
      size_text: the size, and the settings that it comes from, for a reader.
      side_setting: the setting that makes images larger, and whether it takes several values.
      anchors: Anchors.
      strides: of the levels, px.
      allowed_border: see `Anchors.with_valid`.
      positive_iou: an anchor is an object's from this IoU on.
      least_iou: the best anchor of an object is the object's from this IoU on, even if it is below positive_iou.
    """

    input_size: InputSize
    size_text: str
    side_setting: str
    anchors: Anchors
    strides: tuple
    allowed_border: float
    positive_iou: float
    least_iou: float


class Training(NamedTuple):
    """What decides which images a run shows its network first.

    Attributes:
      split: name of the split that it trains on.
      options: ReaderOptions.
      seed: of the run.
    """

    split: str
    options: ReaderOptions
    seed: int


def training(config: Any) -> Training:
    """The Training of a config. Raises UserError for settings that a training would refuse, too."""
    return Training(config.data.train_split, reader_options(config.data), config.seed)


def anchor_rules(config: Any) -> AnchorRules:
    """AnchorRules of a config. Raises UserError for settings that a training would refuse, too."""
    builder.check(config.model)
    model = config.model
    for key in ("scales", "ratios"):
        values = model.anchors[key]
        if not values or not all(0 < value < float("inf") for value in values):
            raise UserError(f"model.anchors.{key} is {values}; it must hold numbers above 0")
    one_stage = model.detector == "retinanet"
    head = model.retina_head if one_stage else model.rpn
    input_size, text, setting = _training_size(reader_options(config.data))
    return AnchorRules(
        input_size=input_size,
        size_text=text,
        side_setting=setting,
        anchors=Anchors(tuple(model.anchors.scales), tuple(model.anchors.ratios)),
        strides=retinanet.STRIDES if one_stage else two_stage.STRIDES,
        allowed_border=-1.0 if one_stage else model.rpn.allowed_border,
        positive_iou=head.positive_iou,
        least_iou=head.min_positive_iou if head.low_quality_matches else head.positive_iou,
    )


def _training_size(options):
    """(InputSize, the same in words, the setting) of a training with ReaderOptions."""
    rules, multiple = options.augmentation, options.pad_multiple
    if rules.canvas:
        size = InputSize(rules.canvas, rules.canvas, multiple)
        return size, f"{rules.canvas}/{rules.canvas} px (data.canvas, jitter 1)", "data.canvas"
    if any(rules.short_side_range):
        short, source = round(statistics.mean(rules.short_side_range)), "the middle of data.short_side_range"
        setting = "data.short_side_range"
    else:
        short, setting = statistics.median_low(rules.short_sides), "data.short_sides"
        source = setting if len(rules.short_sides) == 1 else f"the middle one of {setting}"
    text = f"{short}/{rules.max_long_side} px ({source}, data.max_long_side)"
    return InputSize(short, rules.max_long_side, multiple), text, setting
