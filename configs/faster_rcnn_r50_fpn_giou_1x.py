"""Faster R-CNN, ResNet-50 FPN, with a GIoU loss in the box head, 12 epochs."""

from awsdet import config as base


def get_config():
    config = base.faster_rcnn()
    # GIoU gives one term of at most 2 per box, L1 gives four terms: hence the larger weight.
    config.model.box_head.update(box_loss="giou", box_loss_weight=10.0)
    config.train.init_from = "imagenet-r50"
    return config
