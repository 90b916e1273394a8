"""Mask R-CNN with group normalisation throughout and the 4conv1fc box head (Wu and He 2018), 24 epochs.

The backbone must start from weights that were trained with group normalisation. They expect BGR pixels.
"""

from awsdet import config as base


def get_config():
    config = base.mask_rcnn()
    config.model.image.update(mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), bgr=True)
    config.model.backbone.norm = "group_norm"
    config.model.fpn.norm = "group_norm"
    config.model.box_head.update(convs=4, norm="group_norm")
    config.model.mask_head.norm = "group_norm"
    config.schedule.decay_epochs = (16, 22)
    config.train.epochs = 24
    config.train.init_from = "imagenet-r50-gn"
    return config
