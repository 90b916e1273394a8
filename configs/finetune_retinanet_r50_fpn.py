"""RetinaNet, ResNet-50 FPN, that goes on from weights of COCO, for a small data set with any classes."""

from awsdet import config as base


def get_config():
    config = base.fine_tune(base.retinanet())
    config.train.init_from = "coco-retinanet-r50-mmdetection"
    return config
