"""Cascade Mask R-CNN, ResNet-50 FPN, 36 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 44.3, mask AP 38.5 (configs/cascade_rcnn); Detectron2 the same with a Caffe-style backbone
(MODEL_ZOO). Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.cascade_mask_rcnn(), epochs=36)
