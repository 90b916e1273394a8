"""RetinaNet, ResNet-50 FPN, 36 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 39.5 (configs/retinanet); Detectron2 38.7 with a Caffe-style backbone (MODEL_ZOO). Not
trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.retinanet(), epochs=36)
