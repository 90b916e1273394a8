"""Mask Scoring R-CNN, ResNet-50 FPN, 12 epochs."""

from awsdet import config as base


def get_config():
    return base.mask_scoring_rcnn()
