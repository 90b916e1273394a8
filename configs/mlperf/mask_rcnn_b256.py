"""Mask R-CNN for MLPerf Training, 256 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(256, 0.24, warmup=(1800, 1.33e-4), decays=(5_625, 7_500))
