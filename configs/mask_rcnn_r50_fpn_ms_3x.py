"""Mask R-CNN, ResNet-50 FPN, 36 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 40.9, mask AP 37.1 (configs/mask_rcnn); Detectron2 41.0 and 37.2 with a Caffe-style
backbone (MODEL_ZOO). Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.mask_rcnn(), epochs=36)
