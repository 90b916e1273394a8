"""Where the masks of a record lie and how large they are, without making a bitmap of them.

Symbols: N rows of a record, P polygons of all rows together.
"""

from typing import NamedTuple

import numpy as np


class Outlines(NamedTuple):
    """Of each mask: its bounds x1, y1, x2, y2, float64 [N, 4] px, and its area, float64 [N] px; NaN without a mask.

    A mask without any pixel has an area of 0, and NaN for bounds unless it is made of polygons.
    """

    bounds: np.ndarray
    area: np.ndarray


def outlines(parts, lengths, numbers, runs, counts, height):
    """The Outlines of a record, from its lists as `records.examples` stores them.

    parts: number of polygons of each row [N]; lengths: numbers in each polygon [P]; numbers: x0, y0, x1, … of all
    polygons; runs: number of runs of each row [N]; counts: run lengths of all rows; height: of the image, px.
    Polygons that overlap count twice in an area.
    """
    bounds, area = np.full((len(parts), 4), np.nan), np.full(len(parts), np.nan)
    if len(lengths):
        with np.errstate(over="ignore", invalid="ignore"):  # numbers may be of any size
            part_bounds, part_area = _polygons(np.asarray(lengths), np.asarray(numbers, np.float64))
        rows = np.flatnonzero(parts)
        starts = np.cumsum(parts)[rows] - np.asarray(parts)[rows]
        bounds[rows, :2] = np.minimum.reduceat(part_bounds[:, :2], starts)
        bounds[rows, 2:] = np.maximum.reduceat(part_bounds[:, 2:], starts)
        area[rows] = np.add.reduceat(part_area, starts)
    ends = np.cumsum(runs)
    for row in np.flatnonzero(runs):
        bounds[row], area[row] = _runs(np.asarray(counts[ends[row] - runs[row] : ends[row]]), height)
    return Outlines(bounds, area)


def bitmap_outlines(masks):
    """The Outlines of bitmaps: bool [height, width] arrays, which may differ in size."""
    bounds, area = np.full((len(masks), 4), np.nan), np.zeros(len(masks))
    for row, mask in enumerate(masks):
        area[row] = mask.sum()
        if area[row]:
            y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            bounds[row] = x[0], y[0], x[-1] + 1, y[-1] + 1
    return Outlines(bounds, area)


def _polygons(lengths, numbers):
    """(bounds [P, 4], areas [P]) of polygons, all of which have points."""
    points = numbers.reshape(-1, 2)
    counts = lengths // 2
    ends = np.cumsum(counts)
    starts = ends - counts
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    # Relative to a corner of the polygon, so that little is lost to rounding far from the origin.
    x, y = (points - np.repeat(low, counts, axis=0)).T
    area = np.abs(np.add.reduceat(x * y[following] - x[following] * y, starts)) / 2
    return np.concatenate([low, high], axis=1), area


def _runs(counts, height):
    """(bounds, area) of one mask of run lengths: column by column, zeros first."""
    ends = np.cumsum(counts)[1::2]
    lengths = counts[1::2]
    starts, ends = (ends - lengths)[lengths > 0], ends[lengths > 0] - 1  # first and last pixel of each run
    if not len(starts):
        return np.full(4, np.nan), 0.0
    left, right = starts // height, ends // height
    wraps = bool((left < right).any())  # a run that goes on in the next column touches the lower and the upper edge
    top, bottom = (0, height) if wraps else ((starts % height).min(), (ends % height).max() + 1)
    return np.array([left.min(), top, right.max() + 1, bottom], np.float64), float(lengths.sum())
