"""Makes a detector from a config. No other file of the models reads a config.

The rest takes plain numbers and the small objects of `awsdet.detection`, and can be used without a config.
"""

import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from awsdet import config as config_lib
from awsdet.config.relations import WITH_MASKS
from awsdet.data.reader.builder import reader_options
from awsdet.detection.anchors import Anchors
from awsdet.detection.boxes import BoxCoder
from awsdet.detection.losses import BoxLoss, FocalLoss
from awsdet.detection.matching import Matcher
from awsdet.detection.pixels import Pixels
from awsdet.detection.pooling import RoIPooler
from awsdet.detection.sampling import Sampler
from awsdet.detection.suppression import Suppression
from awsdet.models import retinanet, two_stage
from awsdet.models.backbones.hrnet import HRNet
from awsdet.models.backbones.resnet import ResNet
from awsdet.models.detector import Detector
from awsdet.models.heads.box_head import BoxHead
from awsdet.models.heads.conv_box_head import ConvBoxHead
from awsdet.models.heads.mask_head import Filling, MaskHead
from awsdet.models.heads.mask_iou_head import MaskIoUHead
from awsdet.models.heads.retina_head import RetinaHead
from awsdet.models.heads.rpn import RPN, ProposalRule, RPNHead
from awsdet.models.layers.initializers import Initializers
from awsdet.models.necks.fpn import FPN
from awsdet.models.necks.hrfpn import HRFPN
from awsdet.models.retinanet import RetinaNet
from awsdet.models.roi_heads import MaskBranch, RoIHeads, Stage
from awsdet.models.two_stage import TwoStage
from awsdet.runtime.errors import UserError


def build(config: Any, class_names: Sequence[str]) -> Detector:
    """A detector with all its variables.

    Args:
        config: ConfigDict, of which model, seed and data (for the size of images to find objects in) are used.
        class_names: the C class names, in the order of the class numbers in the records.

    Raises UserError if a setting has an invalid value or does not go with the others, or if the class names are not a
    list of strings.
    """
    check(config.model)
    config_lib.check_section("seed", config.seed)
    if isinstance(class_names, str) or not len(class_names) or not all(isinstance(name, str) for name in class_names):
        raise UserError(f"class_names is {class_names!r}; it must be a list of names, one for each class")
    return assemble(config, class_names)


def has_masks(detector):
    """Whether `detector`, a name in DETECTORS, finds masks and needs them to train."""
    return detector in WITH_MASKS


def check(model):
    """Raises UserError if a setting of config.model is invalid, or names a part that there is not."""
    config_lib.check_section("model", model)
    for key, choices in _PARTS.items():
        value = model
        for part in key.split("."):
            value = value[part]
        if value not in choices:
            raise UserError(f"model.{key} is {value!r}; it must be one of {', '.join(map(str, choices))}")


def assemble(config, class_names):
    """As `build`, without `check`."""
    model = config.model
    common = {"initializers": Initializers(config.seed), "dtype": model.precision}
    options = {
        "class_names": class_names,
        "pixels": Pixels(tuple(model.image.mean), tuple(model.image.std), model.image.bgr),
        "precision": model.precision,
        "input_size": reader_options(config.data).eval_size,
        "mask_threshold": model.mask_head.threshold,
        "seed": config.seed,
        "name": model.detector,
    }
    detector = DETECTORS[model.detector](model, common, options)
    detector.recipe = json.dumps({"config": config.to_dict(), "class_names": list(class_names)})
    return detector


# ------------------------------------------------------------------------------------------------------------ detectors


class _FromConfig:
    """A detector that knows its config, so that Keras can make it again; `recipe` is the JSON of `get_config`."""

    recipe = "null"

    def get_config(self):
        """A JSON-ready dict from which `from_config` makes an untrained detector."""
        return json.loads(self.recipe)

    @classmethod
    def from_config(cls, config):
        """The detector that `get_config` describes."""
        return build(config_lib.from_json(json.dumps(config["config"])), config["class_names"])


@tf.keras.utils.register_keras_serializable(package="awsdet", name="TwoStage")
class _TwoStage(_FromConfig, TwoStage):
    pass


@tf.keras.utils.register_keras_serializable(package="awsdet", name="RetinaNet")
class _RetinaNet(_FromConfig, RetinaNet):
    pass


def _two_stage(model, common, options):
    """Faster, Mask or Mask Scoring R-CNN: one stage of RoI heads."""
    masks = None
    if has_masks(model.detector):
        iou_head = _mask_iou_head(model, options, common) if model.detector == "mask_scoring_rcnn" else None
        masks = _masks(model, options, common, "roi_head.mask_head", iou_head)
    box_head = _box_head(model, options, common, "roi_head.bbox_head")
    coder = BoxCoder(tuple(model.box_head.box_stds))
    stage = Stage(box_head, **_stage_rules(model), matcher=_matcher(model.box_head), coder=coder, masks=masks)
    return _with_rpn(model, common, options, [stage])


def _cascade(model, common, options):
    """Cascade R-CNN: one stage per entry of config.model.cascade, which overrides config.model.box_head."""
    cascade, stages = model.cascade, []
    for k, (iou, stds, weight) in enumerate(zip(cascade.ious, cascade.box_stds, cascade.loss_weights)):
        masks = None
        if has_masks(model.detector):
            masks = _masks(model, options, common, f"roi_head.mask_head.{k}")
        stages.append(
            Stage(
                _box_head(model, options, common, f"roi_head.bbox_head.{k}"),
                **_stage_rules(model),
                matcher=_matcher(model.box_head, positive_iou=iou, negative_iou=iou, min_positive_iou=iou),
                coder=BoxCoder(tuple(stds)),
                masks=masks,
                weight=weight,
                key=f"rcnn{k or ''}",
                prefix=f"stage{k}_",
            )
        )
    return _with_rpn(model, common, options, stages)


def _with_rpn(model, common, options, stages):
    backbone = build_backbone(model.backbone, **common)
    neck = build_neck(model.fpn, backbone.out_channels, num_outs=len(two_stage.STRIDES), **common)
    rpn = _rpn(model, common, options["input_size"].pad_multiple)
    return _TwoStage(backbone, neck, rpn, RoIHeads(stages, _suppression(model.box_head)), **options)


def _retinanet(model, common, options):
    backbone, head, anchors = build_backbone(model.backbone, **common), model.retina_head, _anchors(model)
    network = RetinaHead(
        model.fpn.channels, head.convs, head.channels, anchors.per_cell, len(options["class_names"]), **common
    )
    return _RetinaNet(
        backbone,
        build_neck(model.fpn, backbone.out_channels, num_outs=len(retinanet.STRIDES), start_level=1, **common),
        network,
        anchors=anchors,
        matcher=_matcher(head),
        coder=BoxCoder(tuple(head.box_stds)),
        focal_loss=FocalLoss(head.focal_alpha, head.focal_gamma, head.class_loss_weight),
        box_loss=_box_loss(head),
        suppression=_suppression(head),
        pre_nms=head.pre_nms,
        min_size=head.min_size,
        normalizer_momentum=head.normalizer_momentum,
        pad_multiple=options["input_size"].pad_multiple,
        **options,
    )


# Name of a detector -> the function that makes it, of config.model, options of all layers, options of the detector.
DETECTORS = {
    "faster_rcnn": _two_stage,
    "mask_rcnn": _two_stage,
    "mask_scoring_rcnn": _two_stage,
    "cascade_rcnn": _cascade,
    "cascade_mask_rcnn": _cascade,
    "retinanet": _retinanet,
}

# ------------------------------------------------------------------------------------------------- backbones and necks


def _resnet(settings, **options):
    return ResNet(**{key: settings[key] for key in ("depth", "style", "groups", "width_per_group")}, **options)


def _resnet_v1d(settings, **options):
    return _resnet(settings, deep_stem=True, average_shortcut=True, **options)


def _hrnet(settings, **options):
    return HRNet(branch_width=settings.branch_width, **options)


# Name of a backbone -> the function that makes it, of config.model.backbone and the options of all backbones. A
# backbone is a layer from normalised images to features at strides 4, 8, 16, 32; `out_channels` are their channels.
BACKBONES = {"resnet": _resnet, "resnet_v1d": _resnet_v1d, "hrnet": _hrnet}


def build_backbone(settings, **common):
    """The backbone of config.model.backbone; see BACKBONES. `common`: initializers and dtype."""
    options = {key: settings[key] for key in ("base_width", "frozen_stages", "norm", "norm_affine_trainable")}
    return BACKBONES[settings.name](settings, **options, **common)


def _fpn(settings, in_channels, **options):
    extra = {key: settings[key] for key in ("extra_convs", "relu_before_extra_convs")}
    return FPN(in_channels, settings.channels, norm=settings.norm, **extra, **options)


def _hrfpn(settings, in_channels, **options):
    return HRFPN(in_channels, settings.channels, norm=settings.norm, **options)


# Name of a neck -> the function that makes it, of config.model.fpn, the channels of the features and options. A neck is
# a layer from the features of the backbone, from number `start_level` on, to `num_outs` levels, each half the size of
# the one before.
NECKS = {"fpn": _fpn, "hrfpn": _hrfpn}


def build_neck(settings, in_channels, *, num_outs, start_level=0, **common):
    """The neck of config.model.fpn; see NECKS. `common`: initializers and dtype."""
    return NECKS[settings.name](settings, in_channels, num_outs=num_outs, start_level=start_level, **common)


# ------------------------------------------------------------------------------------------------------------ heads


def _rpn(model, common, pad_multiple):
    settings, anchors = model.rpn, _anchors(model)
    proposals = {"nms_iou": settings.nms_iou, "min_size": settings.min_size}
    return RPN(
        RPNHead(model.fpn.channels, settings.channels, anchors.per_cell, convs=settings.convs, **common),
        strides=two_stage.STRIDES,
        anchors=anchors,
        matcher=_matcher(settings),
        sampler=_sampler(settings),
        coder=BoxCoder(tuple(settings.box_stds)),
        box_loss=_box_loss(settings),
        class_loss_weight=settings.class_loss_weight,
        training_proposals=ProposalRule(
            settings.pre_nms_train, settings.post_nms_train, **proposals, batch=settings.post_nms_batch
        ),
        test_proposals=ProposalRule(settings.pre_nms_test, settings.post_nms_test, **proposals),
        allowed_border=settings.allowed_border,
        pad_multiple=pad_multiple,
    )


def _shared_box_head(settings, in_channels, num_classes, **options):
    ends = (settings.channels, num_classes, settings.class_agnostic)
    if not settings.convs:
        return BoxHead(in_channels, settings.pool_size, *ends, **options)
    convs = (settings.convs, settings.conv_channels, settings.norm)
    return ConvBoxHead(in_channels, settings.pool_size, *convs, *ends, **options)


# Name of a box head -> the function (config.model.box_head, channels of the features, number of classes, **options)
# that makes it: a layer from RoI features [R, P, P, channels] to a BoxOutput. options: initializers, dtype, name.
BOX_HEADS = {"shared": _shared_box_head}


def _box_head(model, options, common, name):
    make = BOX_HEADS[model.box_head.name]
    return make(model.box_head, model.fpn.channels, len(options["class_names"]), name=name, **common)


def _masks(model, options, common, name, iou_head=None):
    settings = model.mask_head
    head = MaskHead(
        model.fpn.channels,
        settings.convs,
        settings.channels,
        len(options["class_names"]),
        settings.class_agnostic,
        norm=settings.norm,
        name=name,
        **common,
    )
    return MaskBranch(
        head,
        _pooler(model, settings),
        # A GPU tunes the convolutions of the mask head for each number of RoIs; CPUs do not.
        Filling(8, per_image=bool(tf.config.get_visible_devices("GPU"))),
        loss_weight=settings.loss_weight,
        iou_head=iou_head,
        iou_loss_weight=model.mask_iou_head.loss_weight,
        iou_logit_threshold=model.mask_iou_head.logit_threshold,
    )


def _mask_iou_head(model, options, common):
    head = model.mask_iou_head
    sizes = (head.convs, head.channels, head.fc_layers, head.fc_channels)
    return MaskIoUHead(model.fpn.channels, model.mask_head.pool_size, len(options["class_names"]), *sizes, **common)


# ------------------------------------------------------------------------------------------------------------ rules


def _anchors(model):
    return Anchors(tuple(model.anchors.scales), tuple(model.anchors.ratios))


def _matcher(settings, **changes):
    keys = ("positive_iou", "negative_iou", "min_positive_iou", "low_quality_matches", "ignore_iof")
    return Matcher(**{**{key: settings[key] for key in keys}, **changes})


def _sampler(settings):
    return Sampler(settings.sample_size, settings.positive_fraction)


def _box_loss(settings):
    return BoxLoss(settings.box_loss, settings.smooth_l1_beta, settings.box_loss_weight)


def _suppression(settings):
    return Suppression(
        settings.score_threshold,
        settings.max_detections,
        settings.nms_iou,
        settings.nms_method,
        settings.nms_sigma,
        settings.nms_min_score,
    )


def _pooler(model, head):
    return RoIPooler(
        head.pool_size,
        two_stage.ROI_STRIDES,
        sampling_ratio=head.sampling_ratio,
        aligned=model.box_head.aligned,
        finest_scale=model.box_head.finest_scale,
    )


def _stage_rules(model):
    """What all stages have in common."""
    return {
        "pooler": _pooler(model, model.box_head),
        "sampler": _sampler(model.box_head),
        "box_loss": _box_loss(model.box_head),
        "class_loss_weight": model.box_head.class_loss_weight,
    }


_PARTS = {"detector": DETECTORS, "backbone.name": BACKBONES, "fpn.name": NECKS, "box_head.name": BOX_HEADS}
