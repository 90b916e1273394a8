"""Mask R-CNN, ResNeXt-50-32x4d FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.update(groups=32, width_per_group=4)
    config.train.init_from = "imagenet-x50"
    return config
