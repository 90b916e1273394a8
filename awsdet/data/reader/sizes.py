"""The sizes that images are resized and padded to."""

from typing import NamedTuple

import numpy as np


class InputSize(NamedTuple):
    """How large images are when they enter a network to be searched, in px.

    The short side becomes `short_side`, unless the long one would then exceed `max_long_side`; both are then padded at
    the right and at the bottom to multiples of `pad_multiple`, itself a multiple of 32.
    """

    short_side: int = 800
    max_long_side: int = 1333
    pad_multiple: int = 32

    def resized(self, height, width):
        """(height, width) of an image without its padding."""
        return resize_plan(height, width, self.short_side, self.max_long_side)

    def padded(self, size):
        """[height, width] of a resized `size` with its padding."""
        return [-(-side // self.pad_multiple) * self.pad_multiple for side in size]


class Canvas(NamedTuple):
    """One size for all images, in px: an image becomes as large as `height` x `width` allow, and is padded at the right
    and at the bottom to multiples of `pad_multiple`, itself a multiple of 32.
    """

    height: int
    width: int
    pad_multiple: int = 32

    def resized(self, height, width):
        """(height, width) of an image without its padding."""
        scale = min(self.height / height, self.width / width)
        return tuple(int(rounded(np.float64(side) * scale)) for side in (height, width))

    def padded(self, size=None):
        """[height, width] of every image with its padding."""
        del size
        return [-(-side // self.pad_multiple) * self.pad_multiple for side in (self.height, self.width)]


def resize_plan(height, width, short, long):
    """The size an image is resized to: its short side to `short`, unless its long side then passes `long`.

    Works on numbers and on arrays. Returns ints (H, W), rounded as mmdetection does: int(side * scale + 0.5).
    """
    height, width = np.asarray(height, np.float64), np.asarray(width, np.float64)
    scale = resize_scale(height, width, short, long)
    resized = rounded(height * scale), rounded(width * scale)
    return resized if resized[0].ndim else tuple(map(int, resized))


def resize_scale(height, width, short, long):
    """By what both sides are multiplied in `resize_plan`; arrays."""
    return np.minimum(short / np.minimum(height, width), long / np.maximum(height, width))


def rounded(sides):
    """Sides in whole px, 1 at least: int32."""
    return np.maximum((sides + 0.5).astype(np.int32), 1)
