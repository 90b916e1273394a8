"""Mask R-CNN, ResNet-50 FPN, 24 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 40.3, mask AP 36.5 for these epochs and sides with a Caffe-style backbone, and 39.2 and
35.4 for this backbone with a side of 800 (configs/mask_rcnn). Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.mask_rcnn(), epochs=24)
