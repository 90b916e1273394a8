"""RetinaNet, ResNet-50 FPN, 24 epochs with short sides of 640 to 800 pixels.

mmdetection publishes box AP 37.4 for 24 epochs with a side of 800 (configs/retinanet). Not trained here.
"""

from awsdet import config as base


def get_config():
    config = base.retinanet()
    config.data.short_side_range = (640, 800)
    config.schedule.decay_epochs = (16, 22)
    config.train.update(epochs=24, init_from="imagenet-r50")
    return config
