"""Faster R-CNN, ResNet-50 FPN, 24 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 39.7 for these epochs and sides with a Caffe-style backbone, and 38.4 for this backbone
with a side of 800 (configs/faster_rcnn). Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.faster_rcnn(), epochs=24)
