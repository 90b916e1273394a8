"""torchvision's Mask R-CNN with the rules of our narrow one (benchmarks/learn/settings.py); runs in .venv-torch.

What is not torchvision's own: the widths; anchors that are not rounded to whole pixels; and, if asked for, mask targets
that are not shifted (`unshift_masks`).
"""

import functools

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import MaskRCNN, anchor_utils, backbone_utils, faster_rcnn, mask_rcnn, roi_heads, rpn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import MultiScaleRoIAlign, feature_pyramid_network, roi_align

BLOCKS = (3, 4, 6, 3)  # of ResNet-50
STRIDES = (4, 8, 16, 32, 64)  # of P2 to P6
LEVELS = ["0", "1", "2", "3"]  # torchvision's names of P2 to P5, from which RoIs are pooled


class Anchors(anchor_utils.AnchorGenerator):
    """torchvision's anchors, whose corners it rounds to whole pixels, without the rounding."""

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu"):
        """The anchors of a cell, [A, 4]. scales: px; aspect_ratios: height / width."""
        scales = torch.as_tensor(scales, dtype=dtype, device=device)
        heights = torch.sqrt(torch.as_tensor(aspect_ratios, dtype=dtype, device=device))
        width = ((1 / heights)[:, None] * scales[None]).reshape(-1)
        height = (heights[:, None] * scales[None]).reshape(-1)
        return torch.stack([-width, -height, width, height], dim=1) / 2


def narrow_resnet(width):
    """ResNet-50 with a stem of `width` channels, instead of 64, and all stages narrower in proportion."""
    net = ResNet(Bottleneck, [1, 1, 1, 1])
    net.inplanes = width
    net.conv1, net.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
    for number, blocks in enumerate(BLOCKS):
        stage = net._make_layer(Bottleneck, width * 2**number, blocks, stride=1 if number == 0 else 2)
        setattr(net, f"layer{number + 1}", stage)
    net.fc = nn.Identity()
    return net


def build(settings):
    """The model. `settings`: dict of benchmarks/learn/settings.py."""
    width, channels = settings["base_width"], settings["fpn_channels"]
    backbone = backbone_utils.BackboneWithFPN(
        narrow_resnet(width),
        {f"layer{number + 1}": name for number, name in enumerate(LEVELS)},
        [width * 4 * 2**number for number in range(4)],
        channels,
        extra_blocks=feature_pyramid_network.LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d,
    )
    sizes = tuple(tuple(stride * scale for scale in settings["scales"]) for stride in STRIDES)
    anchors = Anchors(sizes, (tuple(settings["ratios"]),) * len(STRIDES))
    box, masks = settings["box"], settings["mask"]
    classes = settings["classes"] + 1
    return MaskRCNN(
        backbone,
        min_size=settings["short_side"],
        max_size=settings["long_side"],
        image_mean=settings["mean"],
        image_std=settings["std"],
        size_divisible=settings["pad_multiple"],
        rpn_anchor_generator=anchors,
        rpn_head=rpn.RPNHead(channels, anchors.num_anchors_per_location()[0]),
        box_roi_pool=_pooler(box["pool_size"], box["sampling_ratio"], box["canonical_scale"]),
        box_head=faster_rcnn.TwoMLPHead(channels * box["pool_size"] ** 2, box["channels"]),
        box_predictor=faster_rcnn.FastRCNNPredictor(box["channels"], classes),
        mask_roi_pool=_pooler(masks["pool_size"], masks["sampling_ratio"], box["canonical_scale"]),
        mask_head=mask_rcnn.MaskRCNNHeads(channels, [masks["channels"]] * masks["convs"], 1),
        mask_predictor=mask_rcnn.MaskRCNNPredictor(masks["channels"], masks["channels"], classes),
        **_rules(settings["rpn"], box),
    )


def _pooler(size, sampling_ratio, canonical_scale):
    return MultiScaleRoIAlign(LEVELS, size, sampling_ratio, canonical_scale=canonical_scale)


def _rules(rpn_settings, box):
    return {
        "rpn_pre_nms_top_n_train": rpn_settings["pre_nms_train"],
        "rpn_pre_nms_top_n_test": rpn_settings["pre_nms_test"],
        "rpn_post_nms_top_n_train": rpn_settings["post_nms_train"],
        "rpn_post_nms_top_n_test": rpn_settings["post_nms_test"],
        "rpn_nms_thresh": rpn_settings["nms_iou"],
        "rpn_fg_iou_thresh": rpn_settings["positive_iou"],
        "rpn_bg_iou_thresh": rpn_settings["negative_iou"],
        "rpn_batch_size_per_image": rpn_settings["sample_size"],
        "rpn_positive_fraction": rpn_settings["positive_fraction"],
        "box_score_thresh": box["score_threshold"],
        "box_nms_thresh": box["nms_iou"],
        "box_detections_per_img": box["max_detections"],
        "box_fg_iou_thresh": box["positive_iou"],
        "box_bg_iou_thresh": box["negative_iou"],
        "box_batch_size_per_image": box["sample_size"],
        "box_positive_fraction": box["positive_fraction"],
        "bbox_reg_weights": tuple(box["weights"]),
    }


def load(model, arrays):
    """Sets all weights from a dict of torchvision's name -> array. Raises ValueError if one is missing or too many."""
    table = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    missing, unused = model.load_state_dict(table, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unused:
        raise ValueError(f"weights that are missing: {missing}; that have no place: {unused}")


def unshift_masks():
    """Has mask targets be sampled at the centres of pixels.

    torchvision reads them with its old RoIAlign (aligned=False), for which the value of a pixel belongs to its upper
    left corner. So its masks learn to lie half a pixel of the image too far to the lower right.
    """
    roi_heads.project_masks_on_boxes = functools.partial(mask_targets, aligned=True)


def mask_targets(gt_masks, boxes, matched_idxs, M, aligned):
    """As torchvision's project_masks_on_boxes: targets [R, M, M] of `boxes` [R, 4] from masks [G, H, W]."""
    rois = torch.cat([matched_idxs.to(boxes)[:, None], boxes], dim=1)
    return roi_align(gt_masks[:, None].to(rois), rois, (M, M), 1.0, aligned=aligned)[:, 0]
