"""Bounds and areas of masks, against bitmaps and against a plain loop."""

import numpy as np
import pytest

from awsdet.data.coco.masks import run_lengths
from awsdet.data.records.outlines import bitmap_outlines, outlines


def of(polygons, masks, height):
    """Outlines of rows, each with a list of polygons and a bitmap or None."""
    flat = [polygon for row in polygons for polygon in row]
    runs = [[] if mask is None else run_lengths(mask) for mask in masks]
    return outlines(
        np.array([len(row) for row in polygons], np.int64),
        np.array([len(polygon) for polygon in flat], np.int64),
        np.array([number for polygon in flat for number in polygon], np.float64),
        np.array([len(row) for row in runs], np.int64),
        np.array([count for row in runs for count in row], np.int64),
        height,
    )


def slow_area(polygon):
    points = list(zip(polygon[0::2], polygon[1::2]))
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1]))) / 2


def test_random_rows_of_all_kinds_agree_with_a_plain_loop():
    rng = np.random.default_rng(3)
    for _ in range(50):
        height, width = rng.integers(1, 12, 2)
        polygons, masks = [], []
        for _ in range(rng.integers(0, 6)):
            kind = rng.integers(3)
            parts = rng.integers(1, 4) if kind == 0 else 0
            polygons.append([rng.uniform(-5, 20, 2 * rng.integers(3, 7)).tolist() for _ in range(parts)])
            masks.append(rng.random((height, width)) < rng.random() if kind == 1 else None)
        found = of(polygons, masks, height)
        for row, (parts, mask) in enumerate(zip(polygons, masks)):
            if parts:
                xs, ys = sum((p[0::2] for p in parts), []), sum((p[1::2] for p in parts), [])
                assert found.bounds[row].tolist() == [min(xs), min(ys), max(xs), max(ys)]
                assert found.area[row] == pytest.approx(sum(map(slow_area, parts)))
            elif mask is not None and mask.any():
                y, x = np.nonzero(mask)
                assert found.bounds[row].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
                assert found.area[row] == mask.sum()
                other = bitmap_outlines([mask])
                assert (other.bounds[0].tolist(), other.area[0]) == (found.bounds[row].tolist(), found.area[row])
            else:
                assert np.isnan(found.bounds[row]).all()
                assert found.area[row] == 0 if mask is not None else np.isnan(found.area[row])


def test_masks_without_area():
    found = of([[[1, 1, 5, 5, 9, 9]], []], [None, np.zeros((4, 3), bool)], 4)
    assert found.area.tolist() == [0, 0]
    assert found.bounds[0].tolist() == [1, 1, 9, 9] and np.isnan(found.bounds[1]).all()


def test_numbers_of_any_size_do_not_fail():
    found = of([[[1e308, -1e308, -1e308, 1e308, 0, 0]], [[1e9, 1e9, 1e9 + 4, 1e9, 1e9, 1e9 + 4]]], [None, None], 4)
    assert found.area[1] == 8  # exact, although x * y has no digits left for it
    assert found.bounds[0].tolist() == [-1e308, -1e308, 1e308, 1e308]


def test_no_rows():
    assert of([], [], 5).bounds.shape == (0, 4)
    assert bitmap_outlines([]).bounds.shape == (0, 4)
    empty = bitmap_outlines([np.zeros((3, 4), bool)])
    assert empty.area.tolist() == [0] and np.isnan(empty.bounds).all()
