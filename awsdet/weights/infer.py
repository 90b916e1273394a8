"""Finds the model that weights belong to: the file says it, or the names and shapes of the arrays show it.

Settings that shapes do not show (style, pixels, thresholds, sizes of anchors) keep the defaults of `awsdet.config`.
"""

import json
import math
import re

from awsdet import config as config_module
from awsdet.runtime.errors import UserError
from awsdet.weights.load import Weights

_DEPTHS = {1: 14, 2: 26, 6: 50, 23: 101, 36: 152}  # blocks in the third stage -> depth of the ResNet
_NORMS = {"bn": "batch_norm", "gn": "group_norm"}  # last part of the name -> setting
_RETINA_SHAPES = 9  # anchors per cell: 3 sizes x 3 ratios


def infer(weights: Weights) -> tuple:
    """Returns (config, number of classes). If the weights are only a backbone, the number is 1.

    Raises UserError if they do not belong to one of our detectors.
    """
    if weights.model is not None:
        return _stored(weights), len(weights.class_names) if weights.class_names else 1
    shapes = {key: array.shape for key, array in weights.arrays.items()}
    try:
        detector = _detector(shapes)
        config = getattr(config_module, detector)()
        model = config.model
        _backbone(model.backbone, shapes)
        if not weights.backbone_only:
            _neck(model.fpn, shapes)
        if detector == "retinanet":
            classes = _retina(model, shapes)
        elif not weights.backbone_only:
            classes = _two_stages(model, shapes)
        else:
            classes = 1
    except (KeyError, StopIteration, IndexError, ZeroDivisionError) as error:
        raise UserError(
            f"{weights.path}: cannot recognise the model from its weights ({error}); give --config"
        ) from error
    for key, value in (weights.preset.settings if weights.preset else {}).items():
        section, name = key.split(".")
        model[section][name] = value
    return config, classes


def _stored(weights):
    """The config whose section `model` is stored in one of our files."""
    try:
        return config_module.from_json(json.dumps({"model": weights.model}))
    except (TypeError, AttributeError) as error:
        raise UserError(f"{weights.path}: cannot read the config in it ({error}); give --config") from error


def _detector(shapes):
    def has(pattern):
        return any(re.match(pattern, key) for key in shapes)

    if has(r"bbox_head\.retina_cls"):
        return "retinanet"
    if has(r"roi_head\.bbox_head\.0\."):
        return "cascade_mask_rcnn" if has(r"roi_head\.mask_head\.") else "cascade_rcnn"
    if has(r"roi_head\.mask_iou_head\."):
        return "mask_scoring_rcnn"
    return "mask_rcnn" if has(r"roi_head\.mask_head\.") else "faster_rcnn"


def _backbone(backbone, shapes):
    names = [key for key in shapes if key.startswith("backbone.")]
    if not any(key.endswith("running_var") for key in names):
        backbone.norm = "group_norm"
    if any(key.startswith("backbone.stage2.") for key in names):
        backbone.name = "hrnet"
        backbone.base_width = shapes["backbone.conv1.weight"][0]
        backbone.branch_width = shapes["backbone.stage2.0.branches.0.0.conv1.weight"][0]
        return
    deep = "backbone.stem.0.weight" in shapes
    backbone.name = "resnet_v1d" if deep else "resnet"
    backbone.base_width = shapes["backbone.stem.6.weight" if deep else "backbone.conv1.weight"][0]
    blocks = _count(shapes, r"backbone\.layer3\.(\d+)\.conv1\.weight")
    if blocks not in _DEPTHS:
        raise UserError(
            f"these weights have {blocks} blocks in the third stage of the backbone, as none of our ResNets has"
        )
    backbone.depth = _DEPTHS[blocks]
    width, group_inputs = shapes["backbone.layer1.0.conv2.weight"][:2]
    if width != group_inputs:
        backbone.groups = width // group_inputs
        backbone.width_per_group = width // backbone.groups


def _neck(fpn, shapes):
    fpn.channels = shapes["neck.fpn_convs.0.conv.weight"][0]
    kinds = {key.split(".")[-2] for key in shapes if key.startswith("neck.")}
    fpn.norm = "batch_norm" if "bn" in kinds else "group_norm" if "gn" in kinds else "none"
    if "neck.reduction_conv.conv.weight" in shapes:
        fpn.name, fpn.extra_convs = "hrfpn", "none"
        return
    laterals = _count(shapes, r"neck\.lateral_convs\.(\d+)\.conv\.weight")
    extra = shapes.get(f"neck.fpn_convs.{laterals}.conv.weight")
    if extra is None:
        fpn.extra_convs = "none"
    else:
        fpn.extra_convs = "on_output" if extra[1] == fpn.channels else "on_input"


def _retina(model, shapes):
    head = model.retina_head
    head.convs = _count(shapes, r"bbox_head\.cls_convs\.(\d+)\.conv\.weight")
    outputs, head.channels = shapes["bbox_head.retina_cls.weight"][:2]
    anchors = shapes["bbox_head.retina_reg.weight"][0] // 4
    if anchors != _RETINA_SHAPES:
        _square_anchors(model.anchors, anchors)
    return outputs // anchors


def _two_stages(model, shapes):
    model.rpn.convs = _count(shapes, r"rpn_head\.rpn_conv\.(\d+)\.conv\.weight") or 1
    first = "rpn_head.rpn_conv" if model.rpn.convs == 1 else "rpn_head.rpn_conv.0.conv"
    model.rpn.channels = shapes[f"{first}.weight"][0]
    anchors = shapes["rpn_head.rpn_cls.weight"][0]
    if anchors != 3:
        _square_anchors(model.anchors, anchors)
    head, prefix = model.box_head, "roi_head.bbox_head."
    if f"{prefix}0.fc_cls.weight" in shapes:
        prefix += "0."
    first = f"{prefix}shared_fcs.0.weight"
    classes = shapes[f"{prefix}fc_cls.weight"][0] - 1
    head.class_agnostic = shapes[f"{prefix}fc_reg.weight"][0] == 4 and (classes > 1 or head.class_agnostic)
    head.convs = _count(shapes, re.escape(prefix) + r"shared_convs\.(\d+)\.conv\.weight")
    if head.convs:
        head.conv_channels = shapes[f"{prefix}shared_convs.0.conv.weight"][0]
        head.norm = _norm(f"{prefix}shared_convs.0", shapes)
    head.channels, inputs = shapes[first]
    head.pool_size = math.isqrt(inputs // (head.conv_channels if head.convs else model.fpn.channels))
    if any(key.startswith("roi_head.mask_head.") for key in shapes):
        _masks(model, shapes)
    return classes


def _masks(model, shapes):
    prefix = "roi_head.mask_head."
    if f"{prefix}0.conv_logits.weight" in shapes:
        prefix += "0."
    head = model.mask_head
    head.convs = _count(shapes, re.escape(prefix) + r"convs\.(\d+)\.conv\.weight")
    outputs, head.channels = shapes[f"{prefix}conv_logits.weight"][:2]
    head.norm = _norm(f"{prefix}convs.0", shapes)
    classes = shapes["roi_head.bbox_head.fc_cls.weight" if prefix[-2] != "0" else "roi_head.bbox_head.0.fc_cls.weight"]
    head.class_agnostic = outputs == 1 and classes[0] > 2
    iou = "roi_head.mask_iou_head."
    if f"{iou}fc_mask_iou.weight" in shapes:
        rule = model.mask_iou_head
        rule.convs = _count(shapes, re.escape(iou) + r"convs\.(\d+)\.weight")
        rule.channels = shapes[f"{iou}convs.0.weight"][0]
        rule.fc_layers = _count(shapes, re.escape(iou) + r"fcs\.(\d+)\.weight")
        rule.fc_channels, inputs = shapes[f"{iou}fcs.0.weight"]
        head.pool_size = 2 * math.isqrt(inputs // rule.channels)


def _norm(path, shapes):
    """The normalisation of a convolution in a head. Whether all processes shared a batch norm cannot be seen."""
    return next((norm for part, norm in _NORMS.items() if f"{path}.{part}.weight" in shapes), "none")


def _square_anchors(anchors, count):
    """Sets anchors of `count` sizes and one ratio. (The weights only tell the number of anchors per cell.)"""
    anchors.update(scales=tuple(8.0 * 2 ** (k / count) for k in range(count)), ratios=(1.0,))


def _count(shapes, pattern):
    """How many different numbers the group in `pattern` has among the names."""
    found = {int(match[1]) for match in (re.fullmatch(pattern, key) for key in shapes) if match}
    return len(found)
