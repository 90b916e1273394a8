"""Weights of our Mask R-CNN in torchvision's names and layouts, and back.

Both sides are dicts of name -> NumPy array; ours has mmdetection's names (`awsdet.weights.mmdet.export`), whose layouts
are PyTorch's. torchvision's background is class 0, ours is the last. torchvision also has boxes and masks of the
background, which no loss and no detection ever looks at: they get zeros, and are dropped on the way back.
"""

import re

import numpy as np

# Pattern of our name -> torchvision's.
_NAMES = [
    (r"backbone\.(.*)", r"backbone.body.\1"),
    (r"neck\.lateral_convs\.(\d)\.conv\.(.*)", r"backbone.fpn.inner_blocks.\1.0.\2"),
    (r"neck\.lateral_convs\.(\d)\.bn\.(.*)", r"backbone.fpn.inner_blocks.\1.1.\2"),
    (r"neck\.fpn_convs\.(\d)\.conv\.(.*)", r"backbone.fpn.layer_blocks.\1.0.\2"),
    (r"neck\.fpn_convs\.(\d)\.bn\.(.*)", r"backbone.fpn.layer_blocks.\1.1.\2"),
    (r"rpn_head\.rpn_conv\.(.*)", r"rpn.head.conv.0.0.\1"),
    (r"rpn_head\.rpn_cls\.(.*)", r"rpn.head.cls_logits.\1"),
    (r"rpn_head\.rpn_reg\.(.*)", r"rpn.head.bbox_pred.\1"),
    (r"roi_head\.bbox_head\.shared_fcs\.0\.(.*)", r"roi_heads.box_head.fc6.\1"),
    (r"roi_head\.bbox_head\.shared_fcs\.1\.(.*)", r"roi_heads.box_head.fc7.\1"),
    (r"roi_head\.bbox_head\.fc_cls\.(.*)", r"roi_heads.box_predictor.cls_score.\1"),
    (r"roi_head\.bbox_head\.fc_reg\.(.*)", r"roi_heads.box_predictor.bbox_pred.\1"),
    (r"roi_head\.mask_head\.convs\.(\d)\.conv\.(.*)", r"roi_heads.mask_head.\1.0.\2"),
    (r"roi_head\.mask_head\.upsample\.(.*)", r"roi_heads.mask_predictor.conv5_mask.\1"),
    (r"roi_head\.mask_head\.conv_logits\.(.*)", r"roi_heads.mask_predictor.mask_fcn_logits.\1"),
]
_BACKGROUND_ROWS = {"bbox_pred": 4, "mask_fcn_logits": 1}  # of the heads of RoIs, at the front


def to_torchvision(arrays):
    """Ours -> torchvision's. Raises KeyError for a name that has no place there."""
    table = {}
    for name, array in arrays.items():
        theirs = torchvision_name(name)
        if _is(theirs, "cls_score"):
            array = np.concatenate([array[-1:], array[:-1]])
        rows = _background_rows(theirs)
        if rows:
            array = np.concatenate([np.zeros((rows, *array.shape[1:]), array.dtype), array])
        table[theirs] = array
    return table


def from_torchvision(arrays, names):
    """torchvision's -> ours; `names`: all of our names. Raises KeyError if one of them has no array."""
    table = {}
    for name in names:
        theirs = torchvision_name(name)
        array = arrays[theirs]
        if _is(theirs, "cls_score"):
            array = np.concatenate([array[1:], array[:1]])
        table[name] = array[_background_rows(theirs) :]
    return table


def torchvision_name(name):
    """torchvision's name of one of our weights. Raises KeyError if there is none."""
    for pattern, theirs in _NAMES:
        found = re.fullmatch(pattern, name)
        if found:
            return found.expand(theirs)
    raise KeyError(f"torchvision's Mask R-CNN has no place for {name}")


def _is(theirs, module):
    return theirs.startswith("roi_heads.") and f".{module}." in theirs


def _background_rows(theirs):
    return next((rows for module, rows in _BACKGROUND_ROWS.items() if _is(theirs, module)), 0)
