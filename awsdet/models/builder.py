"""Detectors and their parts; `build` makes a detector from a config."""

from awsdet.detection.losses import BOX_LOSSES
from awsdet.detection.suppression import METHODS
from awsdet.models.backbones.resnet import BLOCKS, STYLES
from awsdet.models.cascade_rcnn import CascadeMaskRCNN, CascadeRCNN
from awsdet.models.faster_rcnn import FasterRCNN
from awsdet.models.layers.norms import NORMS
from awsdet.models.mask_rcnn import MaskRCNN, WithMasks
from awsdet.models.mask_scoring_rcnn import MaskScoringRCNN
from awsdet.models.necks.fpn import EXTRA_CONVS
from awsdet.models.parts import BACKBONES, NECKS
from awsdet.models.retinanet import RetinaNet
from awsdet.runtime.errors import UserError

DETECTORS = {
    "faster_rcnn": FasterRCNN,
    "mask_rcnn": MaskRCNN,
    "mask_scoring_rcnn": MaskScoringRCNN,
    "cascade_rcnn": CascadeRCNN,
    "cascade_mask_rcnn": CascadeMaskRCNN,
    "retinanet": RetinaNet,
}
HEAD_NORMS = ("none", "group_norm")  # a batch norm's statistics would hold unused RoIs
_CHOICES = {
    "detector": DETECTORS,
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
    "backbone.name": BACKBONES,
    "backbone.depth": BLOCKS,
    "backbone.style": STYLES,
    "backbone.norm": [norm for norm in NORMS if norm != "none"],
    "fpn.name": NECKS,
    "fpn.norm": [norm for norm in NORMS if norm != "frozen_batch_norm"],
    "fpn.extra_convs": EXTRA_CONVS,
    "rpn.box_loss": BOX_LOSSES,
    "box_head.norm": HEAD_NORMS,
    "box_head.box_loss": BOX_LOSSES,
    "box_head.nms_method": METHODS,
    "mask_head.norm": HEAD_NORMS,
    "retina_head.box_loss": BOX_LOSSES,
    "retina_head.nms_method": METHODS,
}


def has_masks(detector):
    """Whether the detector of that name, one of DETECTORS, finds masks and must be given them to train."""
    return issubclass(DETECTORS.get(detector, object), WithMasks)


def build(settings, class_names, seed=1):
    """A detector with all its variables made.

    Args:
        settings: config.model.
        class_names: the C class names, in the order of the records' class numbers.
        seed: of the initial weights and of the sampling.

    Raises UserError where a setting is none of its choices.
    """
    for key, choices in _CHOICES.items():
        value = settings
        for part in key.split("."):
            value = value[part]
        if value not in choices:
            raise UserError(f"model.{key} is {value!r}; it must be one of {', '.join(map(str, choices))}")
    return DETECTORS[settings.detector](settings, class_names, seed)
