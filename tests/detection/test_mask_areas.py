"""Areas of masks inside windows, against bitmaps."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.detection import mask_areas

HEIGHT, WIDTH = 61, 83
RANDOM = np.random.default_rng(3)


def polygons(objects):
    """Ragged [P, (parts), (x y …)] of lists of parts."""
    return tf.ragged.constant(objects, ragged_rank=2, dtype=tf.float32)


def star(count, centre, radius):
    angles = np.sort(RANDOM.uniform(0, 2 * np.pi, count))
    reach = RANDOM.uniform(0.3, 1, count) * radius
    return np.stack([centre[0] + reach * np.cos(angles), centre[1] + reach * np.sin(angles)], 1).reshape(-1).tolist()


def test_polygons_against_a_fine_bitmap():
    fine = 16
    objects = [[star(9, (40, 30), 28)], [star(5, (20, 20), 14), star(14, (60, 40), 18)], [star(7, (40, 30), 10)[::-1]]]
    windows = np.array([[20, 10, 45.5, 33.3], [10.2, 5, 70, 50], [35.7, 25.1, 39, 60]], np.float32)
    areas = mask_areas.polygon_areas(polygons(objects), tf.constant(windows)).numpy()
    for parts, (x1, y1, x2, y2), area in zip(objects, windows, areas):
        x, y = np.meshgrid((np.arange(WIDTH * fine) + 0.5) / fine, (np.arange(HEIGHT * fine) + 0.5) / fine)
        inside = sum(even_odd(part, x, y) for part in parts) > 0
        inside &= (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        assert area == pytest.approx(inside.sum() / fine**2, rel=5e-3, abs=0.1)


def even_odd(part, x, y):
    points = np.reshape(part, (-1, 2))
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0)):
        crosses = (ay > y) != (by > y)
        inside ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay + (by == ay)) + ax)
    return inside


def test_a_rectangle_to_the_last_digit_and_far_windows():
    square = polygons([[[10, 10, 30, 10, 30, 20, 10, 20]]] * 4)
    windows = tf.constant([[0.0, 0, 100, 100], [15, 12, 25, 100], [40, 40, 50, 50], [-1e6, -1e6, 1e6, 1e6]])
    np.testing.assert_allclose(mask_areas.polygon_areas(square, windows), [200, 80, 0, 200], rtol=1e-12)


def test_run_lengths_against_their_bitmaps():
    bitmaps = RANDOM.uniform(size=(5, HEIGHT, WIDTH)) < np.array([0.5, 0.05, 0.95, 1, 0])[:, None, None]
    runs = [coco_runs(bitmap) for bitmap in bitmaps]
    windows = np.array([[3.9, 2.2, 40.7, 50.1], [0, 0, 83, 61], [80, 3, 83, 9], [5.5, 5.5, 5.9, 5.9], [1, 1, 9, 9]])
    ragged = tf.ragged.constant(runs, dtype=tf.int32)
    areas = mask_areas.rle_areas(ragged, tf.constant([[HEIGHT, WIDTH]] * 5), tf.constant(windows, tf.float32))
    for bitmap, window, area in zip(bitmaps, windows.astype(int), areas.numpy()):
        x1, y1, x2, y2 = window
        assert area == bitmap[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].sum()


def coco_runs(bitmap):
    flat = bitmap.T.reshape(-1).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    rle = coco_mask.frPyObjects({"size": [HEIGHT, WIDTH], "counts": runs}, HEIGHT, WIDTH)
    np.testing.assert_array_equal(coco_mask.decode(rle), bitmap)
    return runs


def test_shares_of_either_kind_of_mask_and_of_none():
    box = [10, 10, 30, 10, 30, 20, 10, 20]
    bitmap = np.zeros((HEIGHT, WIDTH), bool)
    bitmap[10:20, 10:30] = True
    masks = {
        "polygons": tf.ragged.constant([[[box], []], [[]]], ragged_rank=3, dtype=tf.float32),
        "rles": tf.ragged.constant([[[], coco_runs(bitmap)], [[]]], ragged_rank=2, dtype=tf.int32),
    }
    size = tf.constant([[HEIGHT, WIDTH]] * 2)
    windows = tf.constant([[20.0, 0, 80, 60]] * 3)
    index, truth = tf.constant([0, 0, 1]), tf.constant([0, 1, 0])
    shares = tf.function(mask_areas.shares_inside)(masks, size, windows, index, truth)
    np.testing.assert_allclose(shares, [0.5, 0.5, 0], atol=1e-6)
    none = mask_areas.shares_inside(masks, size, windows[:0], index[:0], truth[:0])
    assert none.shape == [0]
