"""Overrides that do nothing are named; those that do something are not."""

import pytest

from awsdet import config as configs
from awsdet.config.idle import idle_overrides

MASK, CASCADE, RETINA = configs.mask_rcnn, configs.cascade_mask_rcnn, configs.retinanet


def said(family, *overrides):
    config = family()
    for override in overrides:
        configs.apply_override(config, override)
    return list(idle_overrides(config, overrides))


@pytest.mark.parametrize(
    "family, overrides, words",
    [
        (
            RETINA,
            ("model.rpn.nms_iou=0.5",),
            "model.rpn.nms_iou does nothing: model.detector is retinanet, which has no",
        ),
        (RETINA, ("model.box_head.convs=4",), "model.box_head.convs does nothing"),
        (RETINA, ("model.mask_head.convs=2",), "model.detector is retinanet"),
        (MASK, ("model.retina_head.score_threshold=0.1",), "model.detector is mask_rcnn, which has no such part"),
        (MASK, ("model.cascade.loss_weights=1,1,1",), "model.detector is mask_rcnn"),
        (MASK, ("model.mask_iou_head.convs=2",), "model.detector is mask_rcnn"),
        (configs.faster_rcnn, ("model.mask_head.threshold=0.4",), "model.detector is faster_rcnn"),
        (CASCADE, ("model.box_head.positive_iou=0.6",), "model.cascade has one per stage"),
        (CASCADE, ("model.box_head.box_stds=1,1,1,1",), "model.cascade has one per stage"),
        (MASK, ("model.box_head.conv_channels=64",), "model.box_head.convs is 0"),
        (MASK, ("model.box_head.nms_sigma=0.3",), "model.box_head.nms_method is not gaussian"),
        (RETINA, ("model.retina_head.nms_min_score=0.01",), "model.retina_head.nms_method is hard"),
        (MASK, ("model.backbone.branch_width=48",), "only hrnet has branches"),
        (
            MASK,
            ("data.canvas=512", "data.short_sides=640"),
            "data.short_sides does nothing: data.canvas sets the sizes",
        ),
        (MASK, ("data.short_side_range=640,800", "data.short_sides=640"), "data.short_side_range is set"),
        (MASK, ("data.jitter_scales=0.5,2",), "data.canvas is 0"),
        (MASK, ("data.min_visible=0.2",), "nothing is cropped; set data.crop or data.canvas"),
        (MASK, ("data.copy_paste_objects=5",), "data.copy_paste is 0"),
        (MASK, ("optimizer.base_batch=8", "optimizer.scale_learning_rate=false"), "scale_learning_rate is False"),
        (MASK, ("schedule.name=cosine", "schedule.decay_epochs=3"), "schedule.name is cosine; its rate falls to"),
        (
            MASK,
            ("schedule.decay_shares=0.5", "schedule.decay_epochs=3"),
            "decay_shares is set; --config.schedule.decay_",
        ),
        (MASK, ("train.keep_best=false", "train.keep_best_count=3"), "train.keep_best is False"),
        (MASK, ("schedule.final_ratio=0.1",), "schedule.name is step, not cosine"),
        (MASK, ("schedule.warmup_steps=0", "schedule.warmup_ratio=0.1"), "schedule.warmup_steps is 0"),
    ],
)
def test_what_does_nothing_is_named_with_the_reason(family, overrides, words):
    (line,) = said(family, *overrides)
    assert line.startswith("--config.") and words in line and "\n" not in line


@pytest.mark.parametrize(
    "family, overrides",
    [
        (MASK, ("model.rpn.nms_iou=0.5", "model.box_head.positive_iou=0.6", "model.mask_head.threshold=0.4")),
        (CASCADE, ("model.box_head.nms_iou=0.6", "model.cascade.ious=0.4,0.5,0.6", "model.mask_head.convs=2")),
        (RETINA, ("model.retina_head.nms_method=gaussian", "model.retina_head.nms_sigma=0.3")),
        (configs.mask_scoring_rcnn, ("model.mask_iou_head.convs=2",)),
        (MASK, ("model.box_head.convs=4", "model.box_head.conv_channels=64", "model.backbone.depth=101")),
        (MASK, ("model.backbone.name=hrnet", "model.fpn.name=hrfpn", "model.backbone.branch_width=18")),
        (MASK, ("data.canvas=512", "data.jitter_scales=0.5,2", "data.min_visible=0.1", "data.copy_paste=1")),
        (
            MASK,
            ("data.short_sides=640", "optimizer.base_batch=8", "schedule.decay_epochs=3", "schedule.decay_factor=0.2"),
        ),
        (MASK, ("schedule.name=cosine", "schedule.final_ratio=0.1", "schedule.warmup_ratio=0.1")),
    ],
)
def test_what_does_something_is_not(family, overrides):
    assert said(family, *overrides) == []


def test_nothing_is_said_of_parts_of_one_s_own():
    overrides = ("model.detector=theirs", "model.rpn.nms_iou=0.5", "model.retina_head.convs=1")
    assert said(MASK, *overrides, "model.backbone.name=theirs", "model.backbone.branch_width=8") == []
