"""Mask R-CNN for MLPerf Training, 48 images per update.

The reference lists 800 updates of warm-up; with its rise of 9.6e-5 the rate would begin below zero. 625 begin at zero.
"""

from base import mask_rcnn


def get_config():
    return mask_rcnn(48, 0.06, warmup=(625, 9.6e-5), decays=(24_000, 32_000))
