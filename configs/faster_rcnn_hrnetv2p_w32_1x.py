"""Faster R-CNN, HRNetV2p-W32, 12 epochs. No stage is frozen; the BatchNorm statistics are."""

from awsdet import config as base


def get_config():
    config = base.faster_rcnn()
    config.model.backbone.update(name="hrnet", branch_width=32, frozen_stages=-1)
    config.model.fpn.name = "hrfpn"
    config.train.init_from = "imagenet-hrnet-w32"
    return config
