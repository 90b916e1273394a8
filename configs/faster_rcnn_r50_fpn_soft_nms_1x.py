"""Faster R-CNN, ResNet-50 FPN, with Soft-NMS at test time, 12 epochs.

Only detection differs, so a trained Faster R-CNN can be evaluated with this config without retraining.
"""

from awsdet import config as base


def get_config():
    config = base.faster_rcnn()
    config.model.box_head.nms_method = "linear"
    config.train.init_from = "imagenet-r50"
    return config
