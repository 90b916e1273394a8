"""Mask R-CNN, ResNet-50 FPN, 12 epochs: the defaults.

Set data.train_records to the folder that `awsdet convert` wrote.
"""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.train.init_from = "imagenet-r50"
    return config
