"""Faster R-CNN, ResNet-50 FPN, 36 epochs with short sides of 640 to 800 pixels.

Detectron2 (MODEL_ZOO) and mmdetection (configs/faster_rcnn) publish box AP 40.2, both with a Caffe-style backbone. Not
trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.faster_rcnn(), epochs=36)
