"""Mask R-CNN for MLPerf Training, 64 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(64, 0.08, warmup=(800, 1e-4), decays=(18_000, 24_000))
