"""Mask R-CNN, ResNet-50 FPN, 12 epochs: the defaults. Set data.train_records to the folder `awsdet convert` wrote."""

from awsdet import config as base


def get_config():
    return base.mask_rcnn()
