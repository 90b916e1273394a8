"""Pastes mask probabilities into the image as COCO run-length codes, without ever making an image-sized mask.

The rule is mmdetection's `_do_paste_mask` (torch `grid_sample`, align_corners=False, zero padding): the centre of image
column c lies at x = (c + 0.5 - x1) / (x2 - x1) * M - 0.5 in mask pixels, the mask is read there bilinearly with zeros
outside, and the pixel belongs to the object where the value is >= the threshold. A mask thus reaches up to half a mask
pixel beyond its box.

Symbols: N masks, M mask side; a window is the block of image pixels (h rows, w columns) that a mask can touch.
"""

import numpy as np
from pycocotools import mask as coco_mask


def paste_masks(probabilities, boxes, image_size, threshold=0.5):
    """Binary masks of N objects, as COCO compressed RLE.

    Args:
      probabilities: float [N, M, M] (rows, columns; they may differ), one mask an object.
      boxes: float [N, 4], x1 y1 x2 y2 in pixels of the image, continuous; may reach outside it. A box without area, or
        whose width or height is not finite, has an empty mask.
      image_size: (height, width) of the image, pixels; or int [N, 2] of each mask's own image.
      threshold: probability > 0 from which on a pixel belongs to the object.

    Returns:
      list of N dicts {"size": [height, width], "counts": bytes}, the same bytes as pasting at full size in float32 and
      `pycocotools.mask.encode`.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0 (pixels outside the box have probability 0), got {threshold}")
    probabilities = np.asarray(probabilities, np.float32)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if not len(boxes):
        return []
    sizes = np.broadcast_to(image_size, (len(boxes), 2)).tolist()
    padded = np.pad(probabilities, ((0, 0), (1, 1), (1, 1)))
    side_rows, side_columns = probabilities.shape[1:]
    counts = []
    for mask, (x1, y1, x2, y2), (height, width) in zip(padded, boxes, sizes):
        rows = _mask_coordinates(y1, y2, height, side_rows)
        columns = _mask_coordinates(x1, x2, width, side_columns)
        counts.append(_paste_one(mask, rows, columns, (height, width), np.float32(threshold)))
    return coco_mask.frPyObjects([{"size": size, "counts": c} for size, c in zip(sizes, counts)], *sizes[0])


def _mask_coordinates(low, high, length, side):
    """Where the centres of `length` image pixels fall on the mask's axis: float32 [length], NaN for a bad box."""
    with np.errstate(over="ignore", invalid="ignore"):
        extent = high - low
        if not (extent > 0 and np.isfinite(extent)):
            return np.full(length, np.nan, np.float32)
        centres = np.arange(length, dtype=np.float32) + np.float32(0.5)
        return (centres - low) / extent * np.float32(side) - np.float32(0.5)


def _paste_one(padded, rows, columns, image_size, threshold):
    """Run lengths (first of zeros) of one mask. padded: [M + 2, M + 2], a border of zeros around the mask."""
    top, height = _touched(rows, padded.shape[0] - 2)
    left, width = _touched(columns, padded.shape[1] - 2)
    if not height or not width:
        return np.array([image_size[0] * image_size[1]])
    # Column-major throughout, as the runs go: [M + 2 columns, h], then [w, h] by gathering whole rows.
    lower, upper, weight = _neighbours(rows[top : top + height])
    lines = padded.T[:, lower] * (np.float32(1) - weight) + padded.T[:, upper] * weight
    lower, upper, weight = _neighbours(columns[left : left + width])
    window = lines[lower]
    window *= (np.float32(1) - weight)[:, None]
    other = lines[upper]
    other *= weight[:, None]
    window += other
    return _run_lengths(window >= threshold, top, left, image_size)


def _touched(coordinates, side):
    """First index and number of the pixels that see any of the mask: coordinates within (-1, M), which grow."""
    inside = np.flatnonzero((coordinates > -1) & (coordinates < side))
    return (int(inside[0]), len(inside)) if len(inside) else (0, 0)


def _neighbours(coordinates):
    """Indices of the two mask pixels on either side (in the padded mask) and the weight of the upper one."""
    floor = np.floor(coordinates)
    lower = floor.astype(np.intp) + 1
    return lower, lower + 1, coordinates - floor


def _run_lengths(window, top, left, image_size):
    """Column-major run lengths of the image that is `window` (bool [w, h], columns first) at (top, left), else zero."""
    height, width = image_size
    stride = window.shape[1]
    if stride < height:  # a zero below each column keeps one column's run from meeting the next
        window = np.pad(window, ((0, 0), (0, 1)))
        stride += 1
    flat = window.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    if flat[0]:
        changes = np.concatenate([[0], changes])
    if flat[-1]:
        changes = np.concatenate([changes, [len(flat)]])
    column, row = np.divmod(changes, stride)
    ends = (left + column) * height + top + row
    total = height * width
    if not len(ends) or ends[-1] < total:
        ends = np.append(ends, total)
    return np.diff(ends, prepend=0)
