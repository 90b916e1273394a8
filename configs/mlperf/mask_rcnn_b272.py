"""Mask R-CNN for MLPerf Training, 272 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(272, 0.24, warmup=(1800, 1.33e-4), decays=(5_294, 7_058))
