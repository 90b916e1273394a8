"""Faster R-CNN, ResNet-101 FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.faster_rcnn()
    config.model.backbone.depth = 101
    config.train.init_from = "imagenet-r101"
    return config
