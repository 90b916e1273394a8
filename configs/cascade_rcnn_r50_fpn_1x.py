"""Cascade R-CNN, ResNet-50 FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.cascade_rcnn()
    config.train.init_from = "imagenet-r50"
    return config
