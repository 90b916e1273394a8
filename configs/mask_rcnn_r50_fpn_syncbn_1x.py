"""Mask R-CNN, ResNet-50 FPN with BatchNorm synchronised over all ranks, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.backbone.norm = "sync_batch_norm"
    config.model.fpn.norm = "sync_batch_norm"
    config.train.init_from = "imagenet-r50"
    return config
