"""The translation of the reference's config: every option is taken over, and what we cannot build is refused."""

import copy
import json
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict

from awsdet import config as config_lib
from tests.parity.options import Options
from tests.parity.reference import KINDS

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "parity"


def model_config(name):
    with np.load(FIXTURES / f"{name}.npz") as file:
        return json.loads(str(file["model_config"]))


def translated(content):
    options = Options(copy.deepcopy(content))
    config = KINDS[options.get("type")].config(options)
    options.check_all_read()
    return config.model


def test_other_numbers_are_taken_from_the_file():
    content = model_config("mask_scoring_rcnn")
    content["backbone"].update(depth=101, style="caffe", base_channels=8, frozen_stages=2)
    content["backbone"]["norm_cfg"]["requires_grad"] = False
    content["neck"]["out_channels"] = 24
    content["rpn_head"].update(
        feat_channels=20, num_convs=2, loss_bbox={"type": "SmoothL1Loss", "beta": 0.2, "loss_weight": 2.0}
    )
    content["rpn_head"]["anchor_generator"].update(scales=[4, 8], ratios=[0.5, 2.0])
    content["train_cfg"]["rpn"].update(allowed_border=3)
    content["train_cfg"]["rpn"]["sampler"].update(num=64, pos_fraction=0.3)
    content["train_cfg"]["rcnn"]["assigner"].update(pos_iou_thr=0.6, neg_iou_thr=0.4, match_low_quality=False)
    content["train_cfg"]["rcnn"]["mask_thr_binary"] = 0.25
    content["test_cfg"]["rcnn"].update(score_thr=0.01, max_per_img=7)
    content["roi_head"]["bbox_head"].update(reg_class_agnostic=True, fc_out_channels=48)
    content["roi_head"]["bbox_roi_extractor"]["roi_layer"].update(output_size=5, sampling_ratio=2)
    content["roi_head"]["mask_iou_head"].update(num_convs=3, loss_iou={"type": "MSELoss", "loss_weight": 1.5})
    model = translated(content)
    backbone = model.backbone
    assert (backbone.depth, backbone.style, backbone.base_width, backbone.frozen_stages) == (101, "caffe", 8, 2)
    assert not backbone.norm_affine_trainable and model.fpn.channels == 24
    assert (model.rpn.channels, model.rpn.smooth_l1_beta, model.rpn.box_loss_weight) == (20, 0.2, 2.0)
    assert model.rpn.convs == 2
    assert (model.anchors.scales, model.anchors.ratios) == ((4.0, 8.0), (0.5, 2.0))
    assert (model.rpn.allowed_border, model.rpn.sample_size, model.rpn.positive_fraction) == (3.0, 64, 0.3)
    head = model.box_head
    assert (head.positive_iou, head.negative_iou, head.low_quality_matches) == (0.6, 0.4, False)
    assert (head.score_threshold, head.max_detections, head.class_agnostic, head.channels) == (0.01, 7, True, 48)
    assert (head.pool_size, head.sampling_ratio, model.mask_head.pool_size) == (5, 2, 14)
    scoring = model.mask_iou_head
    assert (scoring.convs, scoring.loss_weight, scoring.logit_threshold) == (3, 1.5, 0.25)


def test_kinds_of_backbone():
    content = model_config("faster_rcnn")
    content["backbone"].update(type="ResNeXt", groups=8, base_width=2)
    backbone = translated(content).backbone
    assert (backbone.name, backbone.groups, backbone.width_per_group) == ("resnet", 8, 2)
    content["backbone"] = {**model_config("faster_rcnn")["backbone"], "type": "ResNetV1d"}
    backbone = translated(content).backbone
    assert (backbone.name, backbone.groups) == ("resnet_v1d", 1)


def test_stages_of_a_cascade():
    content = model_config("cascade_mask_rcnn")
    content["roi_head"].update(num_stages=2, stage_loss_weights=[1, 0.3])
    content["roi_head"]["bbox_head"], content["train_cfg"]["rcnn"] = (
        part[:2] for part in (content["roi_head"]["bbox_head"], content["train_cfg"]["rcnn"])
    )
    model = translated(content)
    assert (model.detector, model.cascade.ious, model.cascade.loss_weights) == (
        "cascade_mask_rcnn",
        (0.5, 0.6),
        (1.0, 0.3),
    )
    assert model.cascade.box_stds == ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1)) and model.rpn.allowed_border == 0
    content["train_cfg"]["rcnn"][1]["sampler"]["num"] = 256
    with pytest.raises(ValueError, match="train_cfg.rcnn differs from stage to stage"):
        translated(content)


def test_retinanet():
    content = model_config("retinanet")
    content["neck"].update(add_extra_convs="on_output", relu_before_extra_convs=True)
    content["bbox_head"].update(stacked_convs=2, feat_channels=24, reg_decoded_bbox=True)
    content["bbox_head"].update(loss_bbox={"type": "GIoULoss", "loss_weight": 2.0}, loss_cls={"type": "FocalLoss"})
    content["bbox_head"]["loss_cls"].update(gamma=1.5, alpha=0.4, loss_weight=3.0)
    content["bbox_head"]["anchor_generator"].update(octave_base_scale=3, scales_per_octave=2)
    content["train_cfg"]["assigner"].update(pos_iou_thr=0.6, neg_iou_thr=0.3, min_pos_iou=0.1)
    content["test_cfg"].update(nms_pre=50, min_bbox_size=2, score_thr=0.1, max_per_img=9)
    content["test_cfg"]["nms"] = {"type": "soft_nms", "iou_threshold": 0.4, "method": "gaussian", "sigma": 0.7}
    model = translated(content)
    head = model.retina_head
    assert (model.fpn.extra_convs, model.fpn.relu_before_extra_convs, model.fpn.norm) == ("on_output", True, "none")
    assert (head.convs, head.channels, head.box_loss, head.box_loss_weight) == (2, 24, "giou", 2.0)
    assert (head.focal_gamma, head.focal_alpha, head.class_loss_weight) == (1.5, 0.4, 3.0)
    assert model.anchors.scales == pytest.approx((3.0, 3.0 * 2**0.5))
    assert (head.positive_iou, head.negative_iou, head.min_positive_iou, head.ignore_iof) == (0.6, 0.3, 0.1, -1.0)
    assert (head.pre_nms, head.min_size, head.score_threshold, head.max_detections) == (50, 2.0, 0.1, 9)
    assert (head.nms_iou, head.nms_method, head.nms_sigma, head.nms_min_score) == (0.4, "gaussian", 0.7, 1e-3)
    content["bbox_head"]["reg_decoded_bbox"] = False
    with pytest.raises(ValueError, match="model_config.bbox_head.reg_decoded_bbox is False"):
        translated(content)


def test_group_norm_and_convolutions_in_the_heads():
    content = model_config("mask_rcnn")
    norm = {"norm_cfg": {"type": "GN", "num_groups": 32, "requires_grad": True}}
    content["neck"].update(norm)
    content["roi_head"]["mask_head"].update(norm)
    content["roi_head"]["bbox_head"].update(type="Shared4Conv1FCBBoxHead", conv_out_channels=48, **norm)
    model = translated(content)
    assert (model.fpn.norm, model.mask_head.norm, model.box_head.norm) == ("group_norm",) * 3
    assert (model.box_head.convs, model.box_head.conv_channels) == (4, 48)


REFUSED = [
    ("backbone", {"deep_stem": True}, "model_config.backbone.deep_stem is True"),
    ("backbone", {"type": "RegNet", "arch": "regnetx_3.2gf"}, "backbone.type is 'RegNet'"),
    ("backbone", {"type": "ResNet", "groups": 32}, "does not know.*model_config.backbone.groups = 32"),
    ("neck", {"add_extra_convs": "somewhere"}, "model_config.neck.add_extra_convs"),
    ("rpn_head", {"loss_cls": {"type": "FocalLoss"}}, "model_config.rpn_head.loss_cls.type is 'FocalLoss'"),
    ("roi_head", {"semantic_head": {"type": "FusedSemanticHead"}}, "does not know.*roi_head.semantic_head"),
    ("roi_head", {"shared_head": {"type": "ResLayer"}}, "does not know.*roi_head.shared_head"),
]


@pytest.mark.parametrize("section, change, message", REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_what_we_are_not_is_refused(section, change, message):
    content = model_config("mask_rcnn")
    content[section].update(change)
    with pytest.raises(ValueError, match=message):
        translated(content)


def test_soft_nms_of_another_file_is_not_taken_for_hard():
    content = model_config("faster_rcnn")
    content["test_cfg"]["rpn"]["nms"] = {"type": "soft_nms", "iou_threshold": 0.5}
    with pytest.raises(ValueError, match="model_config.test_cfg.rpn.nms.type is 'soft_nms'"):
        translated(content)


SIZES = {"base_width", "channels", "fc_channels"}  # the files' models are narrow


@pytest.mark.parametrize("name", ["faster_rcnn", "mask_rcnn", "mask_scoring_rcnn", "cascade_rcnn", "cascade_mask_rcnn"])
def test_our_defaults_are_the_reference_s(name):
    theirs, ours = translated(model_config(name)), getattr(config_lib, name)().model
    different = {
        f"{section}.{key}": (value, theirs[section][key])
        for section, settings in ours.items()
        if isinstance(settings, ConfigDict)
        for key, value in settings.items()
        if key not in SIZES | {"ignore_iof"} and value != theirs[section][key]
    }
    unused = {"rpn.smooth_l1_beta", "box_head.smooth_l1_beta"}  # of a loss that has none
    assert not {key: pair for key, pair in different.items() if key not in unused or "cascade" in name}
