"""Synthetic training batches, the same for every system of a benchmark. Needs NumPy only."""

from typing import NamedTuple

import numpy as np

CORNERS = 12  # of each object's polygon


class Scene(NamedTuple):
    """A batch of B images with G objects each."""

    images: np.ndarray  # uint8 [B, H, W, 3]
    boxes: np.ndarray  # float32 [B, G, 4] x1 y1 x2 y2, pixels
    classes: np.ndarray  # int32 [B, G]
    polygons: np.ndarray  # float32 [B, G, CORNERS, 2] x y, pixels; each fills most of its box


def make(size, batch, objects=8, num_classes=80, seed=0):
    """A Scene of square noise images; object sizes are log-uniform from 1/16 to 1/2 of the side."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (batch, size, size, 3), np.uint8)
    extent = size * 2.0 ** random.uniform(-4, -1, (batch, objects, 2))
    low = random.uniform(0, 1, (batch, objects, 2)) * (size - extent)
    angles = np.arange(CORNERS) * 2 * np.pi / CORNERS
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    polygons = low[:, :, None] + extent[:, :, None] * (0.5 + 0.5 * circle)
    boxes = np.concatenate([polygons.min(axis=2), polygons.max(axis=2)], axis=-1)
    classes = random.integers(0, num_classes, (batch, objects))
    return Scene(images, boxes.astype(np.float32), classes.astype(np.int32), polygons.astype(np.float32))
