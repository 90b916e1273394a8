"""Anchors: the boxes that a dense head scores at every cell of every feature level.

Their order is that of mmdetection: level by level, then cell by cell, row by row, then the A shapes of a cell, among
which the scale changes fastest. They are centred on the upper left corners of their cells (offset 0).

Symbols: B images, H x W cells of a level, A anchors per cell, N anchors of all levels together.
"""

import dataclasses
import math

import tensorflow as tf

from awsdet.ops.anchors import anchors


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
        """The anchors of one level, float32 [H * W * A, 4] in image pixels; `feature_size` is (H, W)."""
        return self._of_sizes([feature_size], [stride], _no_images()).boxes

    def of_pyramid(self, pyramid, strides):
        """The anchors of all levels of `pyramid`, list of [B, H, W, C], one after the other: float32 [N, 4]."""
        return self._of_sizes(_sizes(pyramid), strides, _no_images()).boxes

    def with_valid(self, pyramid, strides, image_size, pad_multiple, allowed_border=-1.0):
        """The anchors of all levels of `pyramid`, and which of them take part in the loss: `ops.anchors.AnchorBoxes`.

        `image_size` int32 [B, 2]. An image is padded to multiples of `pad_multiple`, and then further, to the size of
        the largest in its batch. Anchors in the second padding take no part. `allowed_border`: px; anchors that reach
        further out of their image take no part; negative: all take part.
        """
        rules = {"pad_multiple": pad_multiple, "allowed_border": allowed_border}
        return self._of_sizes(_sizes(pyramid), strides, image_size, **rules)

    def _of_sizes(self, sizes, strides, image_size, **rules):
        shapes = [self.shapes(stride) for stride in strides]
        return anchors(tf.stack(sizes), image_size, strides=strides, shapes=shapes, **rules)

    def shapes(self, stride):
        """The A anchors at a cell, from their centre: tuples x1, y1, x2, y2 in px."""
        shapes = []
        for ratio in self.ratios:
            for scale in self.scales:
                half_width = 0.5 * stride * scale / math.sqrt(ratio)
                half_height = 0.5 * stride * scale * math.sqrt(ratio)
                shapes.append((-half_width, -half_height, half_width, half_height))
        return shapes


def _no_images():
    return tf.zeros([0, 2], tf.int32)


def _sizes(pyramid):
    """(H, W) of each level: integers if they are known, otherwise scalar tensors."""
    known = [tuple(features.shape[1:3]) for features in pyramid]
    return [
        size if None not in size else tuple(tf.unstack(tf.shape(features)[1:3]))
        for size, features in zip(known, pyramid)
    ]
