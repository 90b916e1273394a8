"""How well anchors cover boxes: the IoU of each box with its best anchor.

Anchors of one shape differ only in their centres, which form a grid. The overlap of a box and an anchor is the product
of their overlaps along x and along y, and each shrinks as the centres move apart. So the best anchor of a shape is the
one whose centre is nearest along x and along y, and no other need be looked at.

Symbols: G boxes.
"""

import numpy as np


def best_iou(boxes, sizes, anchors, strides, pad_multiple=1, allowed_border=-1.0):
    """The IoU of each box with the best of all anchors of its image, without a tensor of all pairs.

    Args:
      boxes: [G, 4] = x1, y1, x2, y2 in px of the images that a network sees, resized and without padding.
      sizes: int [G, 2], height and width of the image of each box, as resized.
      anchors: Anchors.
      strides: of the levels of the pyramid, px.
      pad_multiple, allowed_border: see `Anchors.with_valid`; anchors that take no part in the loss are left out.

    Returns float64 [G]; 0 for boxes without area, and for those that no anchor touches.
    """
    boxes, sizes = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(sizes, np.int64).reshape(-1, 2)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area = width * height
    padded = -(-sizes // pad_multiple) * pad_multiple
    best = np.zeros(len(boxes))
    for stride in strides:
        cells = -(-padded // stride)
        for x1, y1, x2, y2 in anchors.shapes(stride):
            along = [
                _overlap(boxes[:, axis], boxes[:, axis + 2], low, high, stride, cells[:, 1 - axis], limit)
                for axis, low, high, limit in (
                    (0, x1, x2, _limits(sizes[:, 1], allowed_border)),
                    (1, y1, y2, _limits(sizes[:, 0], allowed_border)),
                )
            ]
            shared = along[0] * along[1]
            union = area + (x2 - x1) * (y2 - y1) - shared
            best = np.maximum(best, np.where(area > 0, shared / np.maximum(union, 1e-300), 0.0))
    return best


def _limits(side, border):
    """(least, greatest) coordinate of an anchor that takes part; None if all do."""
    return None if border < 0 else (-border, side + border)


def _overlap(start, end, low, high, stride, cells, limit):
    """The longest overlap, along one axis, of boxes and the anchors of one shape: [G], 0 where there is no anchor."""
    first, last = np.zeros_like(cells), cells - 1
    if limit is not None:  # of the anchors at i * stride: i * stride + low >= least, i * stride + high < greatest
        first = np.maximum(first, int(np.ceil((limit[0] - low) / stride)))
        last = np.minimum(last, np.ceil((limit[1] - high) / stride).astype(np.int64) - 1)
    nearest = np.rint((start + end) / (2 * stride)).astype(np.int64)
    centre = np.clip(nearest, first, np.maximum(last, first)) * stride
    overlap = np.minimum(end, centre + high) - np.maximum(start, centre + low)
    return np.where(first <= last, np.maximum(overlap, 0.0), 0.0)
