"""Mask R-CNN, ResNeXt-101-32x8d FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.update(depth=101, groups=32, width_per_group=8)
    config.train.init_from = "imagenet-x101"
    return config
