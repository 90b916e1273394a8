"""Boxes, points, runs and masks moved to the resized image."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.data.coco.annotations import run_lengths
from awsdet.ops.reference.annotations import transform_boxes, transform_mask, transform_points, transform_runs


def test_boxes_scale_by_axis_clip_and_flip():
    boxes = tf.constant([[10.0, 20.0, 30.0, 40.0], [-5.0, -5.0, 105.0, 55.0]], tf.float64)
    plain = transform_boxes(boxes, [50, 100], [100, 300], False).numpy()
    assert plain.tolist() == [[30.0, 40.0, 90.0, 80.0], [0.0, 0.0, 300.0, 100.0]]
    flipped = transform_boxes(boxes, [50, 100], [100, 300], True).numpy()
    assert flipped.tolist() == [[210.0, 40.0, 270.0, 80.0], [0.0, 0.0, 300.0, 100.0]]


def test_points_scale_and_flip_without_clipping():
    points = tf.constant([10.0, 20.0, -4.0, 60.0], tf.float64)
    assert transform_points(points, [50, 100], [100, 300], False).numpy().tolist() == [30.0, 40.0, -12.0, 120.0]
    assert transform_points(points, [50, 100], [100, 300], True).numpy().tolist() == [270.0, 40.0, 312.0, 120.0]


def _nearest(mask, new_size, flip):
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(int) for new, old in zip(new_size, mask.shape)
    )
    return mask[rows][:, columns[::-1] if flip else columns]


@pytest.mark.parametrize("new_size", [(17, 29), (40, 60), (7, 9), (23, 31)])
@pytest.mark.parametrize("flip", [False, True])
def test_runs_and_masks_resize_like_a_picture(new_size, flip):
    mask = np.random.default_rng(3).random((23, 31)) < 0.4
    expected = _nearest(mask, new_size, flip)
    for runs in (
        transform_runs(tf.constant(run_lengths(mask), tf.int64), [23, 31], new_size, flip),
        transform_mask(mask.astype(np.uint8), new_size, flip),
    ):
        rle = {"size": list(new_size), "counts": runs.numpy().tolist()}
        decoded = coco_mask.decode(coco_mask.frPyObjects(rle, *new_size))
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize(
    "counts", [[12], [0, 12], [0, 5, 0, 3, 4], [5, 0, 0, 7, 0], [4, 3, 0, 0, 5]], ids=lambda counts: str(counts)
)
def test_runs_of_no_length_and_uniform_masks_survive(counts):
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    mask = flat.reshape(4, 3).T  # column-major: 4 columns of 3
    runs = transform_runs(tf.constant(counts, tf.int64), [3, 4], [3, 4], False).numpy().tolist()
    assert runs == run_lengths(mask.astype(bool))
