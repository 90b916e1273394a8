"""Mask targets from polygons and RLE."""

import numpy as np
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.ops.reference.mask_targets import polygon_targets, rle_targets

SQUARE, HOLE = [10.0, 10, 30, 10, 30, 30, 10, 30], [15.0, 15, 25, 15, 25, 25, 15, 25]


def ragged(objects):
    return tf.ragged.constant(objects, ragged_rank=2, dtype=tf.float32)


def inside(points, polygon):
    """Even-odd rule by ray casting, an independent implementation. `points` [N, 2] -> bool [N]."""
    result = np.zeros(len(points), bool)
    corners = np.reshape(polygon, (-1, 2))
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):
        crosses = (y0 <= points[:, 1]) != (y1 <= points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            x = x0 + (points[:, 1] - y0) * (x1 - x0) / (y1 - y0)
        result ^= crosses & (x <= points[:, 0])
    return result


def test_equals_ray_casting_for_random_polygons():
    random = np.random.default_rng(2)
    objects, rois = [], []
    for _ in range(20):
        objects.append(
            [random.uniform(0, 60, 2 * random.integers(3, 12)).tolist() for _ in range(random.integers(1, 4))]
        )
        corner = random.uniform(-10, 40, 2)
        rois.append([*corner, *(corner + random.uniform(0.5, 50, 2))])
    rois = np.array(rois, np.float32)
    ours = polygon_targets(ragged(objects), tf.range(20), tf.constant(rois), 28).numpy()
    centre = (np.arange(28) + 0.5) / 28
    for target, parts, (x1, y1, x2, y2) in zip(ours, objects, rois.astype(np.float64)):
        x, y = np.meshgrid(x1 + centre * (x2 - x1), y1 + centre * (y2 - y1))
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        expected = np.any([inside(points, part) for part in parts], axis=0).reshape(28, 28)
        assert np.mean(target != expected) < 0.005  # float32 against float64 on an edge
    assert 0.05 < ours.mean() < 0.95


def test_parts_are_united_as_pycocotools_does():
    rois = tf.constant([[0.0, 0, 40, 40]])
    target = polygon_targets(ragged([[SQUARE, HOLE]]), [0], rois, 40)[0].numpy()
    theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([SQUARE, HOLE], 40, 40)))
    np.testing.assert_array_equal(target, theirs)
    assert target[20, 20] == 1


def test_objects_without_polygons_and_no_rois():
    targets = polygon_targets(ragged([[], [SQUARE]]), [0, 1], tf.constant([[0.0, 0, 40, 40]] * 2), 28)
    assert targets[0].numpy().sum() == 0 and targets[1].numpy().sum() > 0
    empty = tf.RaggedTensor.from_row_lengths(tf.zeros([0]), tf.zeros([0], tf.int64))
    empty = tf.RaggedTensor.from_row_lengths(empty, tf.zeros([0], tf.int64))
    assert polygon_targets(empty, tf.zeros([0], tf.int32), tf.zeros([0, 4]), 28).shape == (0, 28, 28)


def test_far_away_and_degenerate_boxes_give_zeros_not_errors():
    rois = tf.constant([[1e6, 1e6, 2e6, 2e6], [20, 20, 20, 20], [0, 0, 1e-3, 1e-3]])
    targets = polygon_targets(ragged([[SQUARE]]), [0, 0, 0], rois, 28).numpy()
    assert targets[0].sum() == 0 and targets[2].sum() == 0 and np.isfinite(targets).all()


def test_rle_holds_holes_and_matches_its_bitmap():
    bitmap = np.zeros((40, 48), np.uint8)
    bitmap[10:30, 12:36] = 1
    bitmap[16:22, 20:28] = 0
    runs = coco_runs(bitmap)
    rois = tf.constant([[0.0, 0, 48, 40], [12, 10, 36, 30], [0, 0, 48, 40]])
    rles = tf.ragged.constant([runs, []], dtype=tf.int32)
    targets = rle_targets(rles, [0, 0, 1], tf.constant([[40, 48]] * 2), rois, 4).numpy()
    # Bins of 12 x 10 pixels: the mean of the bitmap in each, thresholded.
    means = bitmap.reshape(4, 10, 4, 12).mean(axis=(1, 3))
    np.testing.assert_array_equal(targets[0], means >= 0.5)
    means = bitmap[10:30, 12:36].reshape(4, 5, 4, 6).mean(axis=(1, 3))
    np.testing.assert_array_equal(targets[1], means >= 0.5)
    assert targets[2].sum() == 0


def coco_runs(bitmap):
    """Column-major run lengths that begin with zeros."""
    flat = bitmap.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
