"""Mask R-CNN, ResNet-101-D FPN (deep stem, average-pool shortcuts), 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.update(name="resnet_v1d", depth=101)
    config.train.init_from = "imagenet-r101-v1d"
    return config
