"""What must hold between settings; `ranges` has what must hold for each alone."""

import re
from collections.abc import Iterator
from typing import Any

from awsdet.config.rules import parse

# Detectors that find masks and need them to train.
WITH_MASKS = ("mask_rcnn", "mask_scoring_rcnn", "cascade_mask_rcnn")
# Optimizers whose learning rate and weight decay may differ from variable to variable.
WITH_FACTORS = ("sgd", "adamw")


def complaints(config: Any) -> Iterator[str]:
    """What is wrong between the settings of a ConfigDict whose every value is within its range."""
    for name in _SECTIONS:
        yield from of_section(name, config[name])
    train, detector = config.train, config.model.detector
    if train.mask_ap_target and detector not in WITH_MASKS:
        yield f"train.mask_ap_target needs masks, and {detector} has none; use only train.box_ap_target"
    if train.mlperf_log and not (train.box_ap_target and train.mask_ap_target):
        yield (
            "train.mlperf_log needs both targets, whose time it tells: train.box_ap_target=0.377 and "
            "train.mask_ap_target=0.339 are those of MLPerf"
        )


def of_section(name: str, settings: Any) -> Iterator[str]:
    """As `complaints`, of one section alone."""
    if name in _SECTIONS:
        yield from _SECTIONS[name](settings)


def notes(config: Any) -> Iterator[str]:
    """What is allowed between settings, but may not be meant: for a log."""
    data, schedule, train = config.data, config.schedule, config.train
    late = [epoch for epoch in schedule.decay_epochs if epoch >= train.epochs]
    if schedule.name == "step" and late and not any((*schedule.decay_shares, *schedule.decay_updates)):
        yield (
            f"schedule.decay_epochs has {_list(late)}, and training ends with epoch {train.epochs} (train.epochs): the "
            "learning rate does not fall there"
        )
    long = data.max_long_side
    largest = max(data.short_sides) if data.short_side_range == (0, 0) else data.short_side_range[1]
    if not data.canvas and largest > long:
        name = "short_sides" if data.short_side_range == (0, 0) else "short_side_range"
        yield f"data.{name} has {largest}, more than data.max_long_side, {long}, so no image becomes as large"
    for name in ("box_head", "mask_head"):
        head = config.model[name]
        if head.norm != "none" and not head.convs and head.get("name", "shared") == "shared":
            yield f"model.{name}.norm is {head.norm!r}, and model.{name}.convs is 0: there is nothing to normalise"
    if data.eval_short_side > long:
        yield (
            f"data.eval_short_side is {data.eval_short_side}, more than data.max_long_side, {long}, so no image "
            "becomes as large"
        )


def _model(model):
    cascade, backbone, fpn = model.cascade, model.backbone, model.fpn
    counts = [len(cascade[key]) for key in ("ious", "box_stds", "loss_weights")]
    if len(set(counts)) > 1:
        yield f"model.cascade.ious, box_stds, loss_weights have {counts} entries; give each one per stage"
    if backbone.name == "resnet_v1d" and backbone.base_width % 2:
        yield (
            f"model.backbone.base_width is {backbone.base_width}; resnet_v1d halves it in its stem, so it must be even"
        )
    if fpn.name == "hrfpn" and fpn.extra_convs != "none":
        yield f"model.fpn.extra_convs is {fpn.extra_convs!r}; hrfpn has none of these, so set it to none"
    for name in ("rpn", "box_head", "retina_head"):
        head = model[name]
        if head.negative_iou > head.positive_iou:
            yield (
                f"model.{name}.negative_iou is {head.negative_iou}, more than positive_iou, {head.positive_iou}: a box "
                "would be both; make it at most as large"
            )
    for name in ("rpn", "box_head"):
        head = model[name]
        if int(head.sample_size * head.positive_fraction) < 1:
            yield (
                f"model.{name}.positive_fraction is {head.positive_fraction} of sample_size {head.sample_size}, which "
                "is less than one positive: raise one of them"
            )


def _data(data):
    has_range, crops = data.short_side_range != (0, 0), min(data.crop) < 1
    if not data.batch_size and not data.global_batch_size:
        yield "data.batch_size is 0; give the images per process, or data.global_batch_size, those of all"
    if data.canvas % data.pad_multiple:
        yield f"data.canvas is {data.canvas}; it must be a multiple of data.pad_multiple, {data.pad_multiple}"
    if data.canvas and has_range:
        yield (
            f"data.short_side_range is {_list(data.short_side_range)}; it does nothing with data.canvas, which sets "
            "the sizes; leave one of them off"
        )
    if data.canvas and crops:
        yield (
            f"data.crop is {_list(data.crop)}; it does not go with data.canvas, which crops by itself; leave one of "
            "them off"
        )
    if data.crop_keeps_object and not (crops or data.canvas):
        yield "data.crop_keeps_object is True; it does nothing without a crop; set data.crop or data.canvas too"
    if data.boxes_from_masks and not (crops or data.canvas):
        yield "data.boxes_from_masks is True; it does nothing without a crop; set data.crop or data.canvas too"
    if data.copy_paste and not data.canvas:
        yield (
            f"data.copy_paste is {data.copy_paste:g}; it needs images of one size, so set data.canvas too, as in "
            "data.canvas=1024"
        )
    if data.padded_sizes and data.canvas:
        yield (
            f"data.padded_sizes is {data.padded_sizes!r}; it does nothing with data.canvas, which has one size; leave "
            "it empty"
        )
    wrong = [side for side in map(int, re.findall(r"\d+", data.padded_sizes)) if side < 1 or side % data.pad_multiple]
    if wrong:
        yield (
            f"data.padded_sizes is {data.padded_sizes!r}; it has the side {wrong[0]}, and its sides must be multiples "
            f"of data.pad_multiple, {data.pad_multiple}"
        )


def _optimizer(optimizer):
    if optimizer.beta_2 and optimizer.name == "sgd":
        yield (
            f"optimizer.beta_2 is {optimizer.beta_2}, but sgd has none; leave it at 0, or use "
            "optimizer.name=adamw, novograd or lamb"
        )
    for key, off in (("rules", ""), ("layer_decay", 1)):
        if optimizer[key] != off and optimizer.name not in WITH_FACTORS:
            yield (
                f"optimizer.{key} is {optimizer[key]!r}; {optimizer.name} treats all variables alike, so leave it at "
                f"{off!r}, or use optimizer.name=sgd or adamw"
            )
    if not optimizer.weight_decay and any(rule.decay is not None for rule in parse(optimizer.rules)):
        yield (
            f"optimizer.rules is {optimizer.rules!r}, with factors of the weight decay, and optimizer.weight_decay is "
            "0; leave these factors out, or set the decay"
        )


def _schedule(schedule):
    if any(schedule.decay_updates) and any(schedule.decay_shares):
        yield (
            f"schedule.decay_updates is {_list(schedule.decay_updates)} and schedule.decay_shares is "
            f"{_list(schedule.decay_shares)}; only one of them can decide, so set the other to 0"
        )


def _train(train):
    if (train.box_ap_target or train.mask_ap_target) and not train.evaluate_every_epochs:
        yield "a train.…_ap_target needs evaluations: set train.evaluate_every_epochs to 1 or more"


_SECTIONS = {"model": _model, "data": _data, "optimizer": _optimizer, "schedule": _schedule, "train": _train}


def _list(values):
    return ", ".join(f"{value:g}" for value in values)
