"""The plain 3x3 windows against NumPy's padding."""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.cell_windows import cell_windows

SIZES = [(5, 9), (3, 5), (1, 1)]  # odd, and a level where every window reaches beyond the border
CHANNELS, ANCHORS = 6, 3


def test_windows_are_the_cells_around_with_zeros_beyond_the_border():
    random = np.random.default_rng(0)
    pyramid = [tf.constant(random.normal(size=(2, h, w, CHANNELS)), tf.float32) for h, w in SIZES]
    anchors = ANCHORS * sum(h * w for h, w in SIZES)
    windows, chosen = (part.numpy() for part in cell_windows(pyramid, tf.stack([tf.range(anchors)] * 2), ANCHORS))
    np.testing.assert_array_equal(
        chosen, np.broadcast_to(np.tile(np.eye(ANCHORS, dtype=bool), (anchors // 3, 1)), chosen.shape)
    )
    first = 0
    for features, (height, width) in zip(pyramid, SIZES):
        padded = np.pad(features.numpy(), [(0, 0), (1, 1), (1, 1), (0, 0)])
        for row, column in np.ndindex(height, width):
            expected = padded[:, row : row + 3, column : column + 3].reshape(2, 1, 9, CHANNELS)
            own = slice(first, first + ANCHORS)
            np.testing.assert_array_equal(windows[:, own], np.broadcast_to(expected, windows[:, own].shape))
            first += ANCHORS
