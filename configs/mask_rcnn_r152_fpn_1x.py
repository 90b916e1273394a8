"""Mask R-CNN, ResNet-152 FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.depth = 152
    config.train.init_from = "imagenet-r152"
    return config
