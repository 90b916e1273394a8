"""Mask R-CNN for MLPerf Training, 96 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(96, 0.12, warmup=(625, 1.92e-4), decays=(12_000, 16_000))
