"""Faster R-CNN, ResNet-50 FPN, 24 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 39.7 for these epochs and sides with a Caffe-style backbone, and 38.4 for this backbone
with a side of 800 (configs/faster_rcnn). Not trained here.
"""

from awsdet import config as base


def get_config():
    config = base.faster_rcnn()
    config.data.short_side_range = (640, 800)
    config.schedule.decay_epochs = (16, 22)
    config.train.update(epochs=24, init_from="imagenet-r50")
    return config
