"""RetinaNet, ResNet-50 FPN, 24 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 37.4 for 24 epochs with a side of 800 (configs/retinanet). Not trained here.
"""

from awsdet import config as base


def get_config():
    return base.multi_scale(base.retinanet(), epochs=24)
