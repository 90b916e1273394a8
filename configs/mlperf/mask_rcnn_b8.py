"""Mask R-CNN for MLPerf Training, 8 images per update."""

from base import mask_rcnn


def get_config():
    return mask_rcnn(8, 0.01, warmup=(500, 2e-5), decays=(144_000, 192_000), candidates=1000)
