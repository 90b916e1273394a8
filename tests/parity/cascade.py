"""Cascade R-CNN, with or without masks: as `two_stage`, but with several stages."""

from tests.parity import two_stage
from tests.parity.options import alike

forward_rows, inference_rows = two_stage.forward_rows, two_stage.inference_rows
target_rows, mask_target_rows = two_stage.target_rows, two_stage.mask_target_rows


def config(options):
    """Our config for a `model_config`, which is given as Options."""
    head, train, test = (options.section(name) for name in ("roi_head", "train_cfg", "test_cfg"))
    config = two_stage.common_config(options)
    model, stages = config.model, head.get("num_stages")
    model.detector = "cascade_mask_rcnn" if "mask_head" in head else "cascade_rcnn"
    rules = [two_stage.sampling_settings(entry) for entry in train.sections("rcnn", stages)]
    heads = [two_stage.box_head_settings(entry) for entry in head.sections("bbox_head", stages)]
    pooling = [two_stage.pooling_settings(entry) for entry in head.sections("bbox_roi_extractor", stages)]
    ious = [rule.pop("positive_iou") for rule in rules]
    for name in ("negative_iou", "min_positive_iou"):
        theirs = [rule.pop(name) for rule in rules]
        if theirs != ious:
            raise ValueError(
                f"{name} is {theirs} where positive_iou is {ious}; a cascade of ours has one for all three"
            )
    model.cascade.update(
        ious=tuple(ious),
        box_stds=tuple(entry.pop("box_stds") for entry in heads),
        loss_weights=tuple(map(float, head.get("stage_loss_weights"))),
    )
    model.box_head.update(
        **alike(rules, "train_cfg.rcnn"),
        **alike(heads, "bbox_head"),
        **alike(pooling, "bbox_roi_extractor"),
        **two_stage.detection_settings(test.section("rcnn")),
    )
    if "mask_head" in head:
        masks = [two_stage.mask_head_settings(entry) for entry in head.sections("mask_head", stages)]
        pooling = [two_stage.pooling_settings(entry) for entry in head.sections("mask_roi_extractor", stages)]
        model.mask_head.update(**alike(masks, "mask_head"), **alike(pooling, "mask_roi_extractor"))
        two_stage.set_mask_sizes(model, train.sections("rcnn", stages), test.section("rcnn"))
    return config


def loss_key(name):
    """The reference's name of our loss term, such as s0.loss_cls for stage0_class_loss."""
    if not name.startswith("stage"):
        return two_stage.loss_key(name)
    stage, _, term = name.removeprefix("stage").partition("_")
    return f"s{stage}.{two_stage.loss_key(term)}"
