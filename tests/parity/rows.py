"""The rows in which comparisons with reference numbers are reported."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

GIVEN = ", from the reference's features"  # in the name of a row that starts from these


class Row(NamedTuple):
    """One comparison. It holds if error <= tolerance."""

    name: str
    error: float
    tolerance: float

    @property
    def holds(self):
        return bool(self.error <= self.tolerance)


def relative_max(ours, theirs):
    """The largest difference divided by the largest magnitude; infinite if the shapes differ."""
    ours = np.asarray(ours)
    if ours.shape != theirs.shape:
        return np.inf
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def feature_row(arrays, name, ours, grid=None):
    """Compares features [B, H, W, C], or values that can be reshaped to the B, H, W of `grid`."""
    if grid is not None:
        ours = tf.reshape(ours, [*grid.shape[:3], -1])
    return Row(f"forward {name}", relative_max(ours, arrays[f"forward/{name}_nchw"].transpose(0, 2, 3, 1)), 1e-4)


def head_rows(arrays, pyramid, first, **outputs):
    """Compares outputs of a head, each a list with one value per level of `pyramid`, from level `first` on."""
    return [
        feature_row(arrays, f"{name}_P{level}", values[level - first], features)
        for level, features in enumerate(pyramid, first)
        for name, values in outputs.items()
    ]
