"""Settings given on a command line that do nothing, since other settings decide: a line for each."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from awsdet.config.relations import WITH_MASKS

_CASCADES = ("cascade_rcnn", "cascade_mask_rcnn")
_TWO_STAGES = ("faster_rcnn", *WITH_MASKS, "cascade_rcnn")
_OURS = (*_TWO_STAGES, "retinanet")


def idle_overrides(config: Any, overrides: Sequence[str]) -> Iterator[str]:
    """The lines for overrides "section.key=value" of a ConfigDict to which all of them were applied.

    Parts of other names than awsdet's own may use any setting, so nothing is said of theirs.
    """
    for override in overrides:
        key = override.partition("=")[0]
        reasons = (why(config) for pattern, why in _REASONS if fnmatchcase(key, pattern))
        reason = next(filter(None, reasons), "")
        if reason:
            yield f"--config.{key} does nothing: {reason}"


def _part_of(*detectors):
    """The function config -> why a part that only these detectors have does nothing, or ""."""

    def why(config):
        name = config.model.detector
        return f"model.detector is {name}, which has no such part" if name in _OURS and name not in detectors else ""

    return why


def _if(condition, reason):
    """The function config -> the reason if the condition holds for it, else ""."""
    return lambda config: reason if condition(config) else ""


_CASCADE = _if(lambda config: config.model.detector in _CASCADES, "model.cascade has one per stage")
_HRNET = _if(lambda config: config.model.backbone.name == "hrnet", "model.backbone.name is hrnet")
_RESNET = _if(lambda config: config.model.backbone.name in ("resnet", "resnet_v1d"), "only hrnet has branches")
_COSINE = _if(lambda config: config.schedule.name == "cosine", "schedule.name is cosine; its rate falls to final_ratio")


def _in_head(name):
    """Reasons for settings of a head that depend on others of the same head."""

    def head(config):
        return config.model[name]

    yield (
        f"model.{name}.nms_sigma",
        _if(lambda config: head(config).nms_method != "gaussian", f"model.{name}.nms_method is not gaussian"),
    )
    yield (
        f"model.{name}.nms_min_score",
        _if(lambda config: head(config).nms_method == "hard", f"model.{name}.nms_method is hard"),
    )


# Pattern of a key -> the function config -> why the setting does nothing, or "". The first reason is given.
_REASONS = (
    ("model.rpn.*", _part_of(*_TWO_STAGES)),
    ("model.box_head.*", _part_of(*_TWO_STAGES)),
    ("model.mask_head.*", _part_of(*WITH_MASKS)),
    ("model.mask_iou_head.*", _part_of("mask_scoring_rcnn")),
    ("model.cascade.*", _part_of(*_CASCADES)),
    ("model.retina_head.*", _part_of("retinanet")),
    *((f"model.box_head.{key}", _CASCADE) for key in ("positive_iou", "negative_iou", "min_positive_iou", "box_stds")),
    ("model.box_head.conv_channels", _if(lambda config: not config.model.box_head.convs, "model.box_head.convs is 0")),
    *_in_head("box_head"),
    *_in_head("retina_head"),
    *((f"model.backbone.{key}", _HRNET) for key in ("depth", "style", "groups", "width_per_group")),
    ("model.backbone.branch_width", _RESNET),
    ("data.short_sides", _if(lambda config: config.data.canvas, "data.canvas sets the sizes")),
    ("data.short_sides", _if(lambda config: any(config.data.short_side_range), "data.short_side_range is set")),
    ("data.jitter_scales", _if(lambda config: not config.data.canvas, "data.canvas is 0")),
    (
        "data.min_visible",
        _if(
            lambda config: not config.data.canvas and min(config.data.crop) == 1,
            "nothing is cropped; set data.crop or data.canvas",
        ),
    ),
    ("data.copy_paste_objects", _if(lambda config: not config.data.copy_paste, "data.copy_paste is 0")),
    (
        "optimizer.base_batch",
        _if(lambda config: not config.optimizer.scale_learning_rate, "optimizer.scale_learning_rate is False"),
    ),
    ("schedule.decay_*", _COSINE),
    (
        "schedule.decay_epochs",
        _if(
            lambda config: any(config.schedule.decay_shares),
            "schedule.decay_shares is set; --config.schedule.decay_shares=0 turns it off",
        ),
    ),
    ("schedule.final_ratio", _if(lambda config: config.schedule.name == "step", "schedule.name is step, not cosine")),
    ("train.keep_best_count", _if(lambda config: not config.train.keep_best, "train.keep_best is False")),
    ("schedule.warmup_ratio", _if(lambda config: not config.schedule.warmup_steps, "schedule.warmup_steps is 0")),
)
