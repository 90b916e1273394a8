"""Mask R-CNN, ResNet-50 FPN, 12 epochs: the defaults.

Set data.train_records to the folder that `awsdet convert` wrote, and train.init_from to weights of the backbone.
"""

from awsdet import config as base


def get_config():
    return base.mask_rcnn()
