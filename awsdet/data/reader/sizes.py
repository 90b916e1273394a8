"""The size that an image is resized to."""

import numpy as np


def resize_plan(height, width, short, long):
    """The size an image is resized to: its short side to `short`, unless its long side then passes `long`.

    Works on numbers and on arrays. Returns ints (H, W), rounded as mmdetection does: int(side * scale + 0.5).
    """
    height, width = np.asarray(height, np.float64), np.asarray(width, np.float64)
    scale = np.minimum(short / np.minimum(height, width), long / np.maximum(height, width))
    resized = tuple(np.maximum((side * scale + 0.5).astype(np.int32), 1) for side in (height, width))
    return resized if resized[0].ndim else tuple(map(int, resized))
