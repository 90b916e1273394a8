"""The pixels of one object's mask in its window, in plain NumPy."""

import numpy as np


def mask_of(polygons, runs, window):
    """bool [height, width] of one object in its window: pixels whose centre is in a polygon or a run of ones."""
    height, width = window
    mask = np.zeros((height, width), bool)
    if len(runs):
        mask |= np.repeat(np.arange(len(runs)) % 2 > 0, runs).reshape(width, height).T
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    for part in polygons:
        points = np.asarray(part, np.float32).reshape(-1, 2) - np.float32(0.5)
        inside = np.zeros((height, width), bool)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0)):
            crosses = (y0 <= rows) != (y1 <= rows)
            if crosses.any():
                x = x0 + (rows - y0) * ((x1 - x0) / (y1 - y0))
                inside ^= crosses[:, np.newaxis] & (columns >= x[:, np.newaxis])
        mask |= inside & (len(points) >= 3)
    return mask


def box_around(mask):
    """float32 x1, y1, x2, y2 around the pixels of bool [height, width], at least one of which is set."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def runs_of(mask):
    """COCO's run lengths of bool [height, width]: column-major, zeros first."""
    flat = np.concatenate([[False], mask.T.reshape(-1)])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
