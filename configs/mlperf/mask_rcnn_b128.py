"""Mask R-CNN for MLPerf Training, 128 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(128, 0.16, warmup=(625, 2.56e-4), decays=(9_000, 12_000))
