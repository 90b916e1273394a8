"""Anchors: the boxes that a dense head scores at every cell of every feature level.

Their order is that of mmdetection: level by level, then cell by cell, row by row, then the A shapes of a cell, among
which the scale changes fastest.

Symbols: B images, H x W cells of a level, A anchors per cell, N anchors of all levels together.
"""

import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Anchors:
    """The shapes of the anchors at a cell.

    Attributes:
        scales: sizes; an anchor has the area (stride * scale)^2.
        ratios: height / width.
    """

    scales: tuple
    ratios: tuple

    @property
    def per_cell(self):
        """A, the number of anchors at each cell."""
        return len(self.scales) * len(self.ratios)

    def of_level(self, feature_size, stride):
        """The anchors of one level, float32 [H * W * A, 4] in image pixels.

        `feature_size` is (H, W), integers or scalar tensors. Anchors are centred on the upper left corner of their cell
        (offset 0, as in the reference).
        """
        height, width = feature_size
        x = tf.cast(tf.range(width), tf.float32) * stride
        y = tf.cast(tf.range(height), tf.float32) * stride
        grid_x, grid_y = tf.meshgrid(x, y)
        centres = tf.reshape(tf.stack([grid_x, grid_y, grid_x, grid_y], axis=-1), [-1, 1, 4])
        return tf.reshape(centres + tf.constant(self._shapes(stride), tf.float32), [-1, 4])

    def of_pyramid(self, pyramid, strides):
        """The anchors of each level of `pyramid`, list of [B, H, W, C]: list of float32 [H * W * A, 4]."""
        return [self.of_level(_cells(features), stride) for features, stride in zip(pyramid, strides)]

    def valid(self, pyramid, strides, image_size, pad_multiple):
        """Which anchors lie inside the padded image that they belong to: bool [B, N].

        `image_size` int32 [B, 2]. An image is padded to multiples of `pad_multiple`, and then further, to the size of
        the largest in its batch. Anchors in the second padding take no part in the loss.
        """
        padded = (image_size + pad_multiple - 1) // pad_multiple * pad_multiple
        cells = [valid_cells(_cells(features), stride, padded) for features, stride in zip(pyramid, strides)]
        return tf.repeat(tf.concat(cells, axis=1), self.per_cell, axis=1)

    def _shapes(self, stride):
        shapes = []
        for ratio in self.ratios:
            for scale in self.scales:
                half_width = 0.5 * stride * scale / math.sqrt(ratio)
                half_height = 0.5 * stride * scale * math.sqrt(ratio)
                shapes.append((-half_width, -half_height, half_width, half_height))
        return shapes


def valid_cells(feature_size, stride, padded_size):
    """Which cells lie inside each image's own padded area: bool [B, H * W]; `padded_size` int32 [B, 2]."""
    limit = (padded_size + stride - 1) // stride
    rows = tf.range(feature_size[0])[tf.newaxis] < limit[:, :1]
    columns = tf.range(feature_size[1])[tf.newaxis] < limit[:, 1:]
    return tf.reshape(rows[:, :, tf.newaxis] & columns[:, tf.newaxis, :], [tf.shape(padded_size)[0], -1])


def inside(anchors, image_size, border):
    """Which of `anchors` [N, 4] reach no further than `border` px beyond each image: bool [B, N].

    `image_size` int32 [B, 2]. On the right and at the bottom the limit itself counts as outside, as in mmdetection.
    """
    height, width = tf.unstack(tf.cast(image_size, tf.float32)[:, :, tf.newaxis], axis=1)
    x1, y1, x2, y2 = tf.unstack(anchors, axis=-1)
    return (x1 >= -border) & (y1 >= -border) & (x2 < width + border) & (y2 < height + border)


def _cells(features):
    return tf.unstack(tf.shape(features)[1:3])
