"""Cascade Mask R-CNN, ResNet-50 FPN, 12 epochs with AdamW.

Starts from the weights of "ResNet strikes back" (Wightman et al. 2021), as mmdetection does in
configs/resnet_strikes_back. It publishes box AP 44.8, mask AP 39.9 for this recipe, and 41.2 and 35.9 for SGD and the
usual weights. Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.resnet_strikes_back(base.cascade_mask_rcnn())
