"""Mask R-CNN, ResNet-50-D FPN (deep stem, average-pool shortcuts), 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.name = "resnet_v1d"
    config.train.init_from = "imagenet-r50-v1d"
    return config
