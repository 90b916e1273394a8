"""Cascade Mask R-CNN, ResNet-50 FPN, 100 epochs from random weights with large-scale jitter.

The recipe is that of mask_rcnn_r50_fpn_lsj_100ep.py; there is no published result for it. Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.large_scale_jitter(base.cascade_mask_rcnn(), epochs=100)
