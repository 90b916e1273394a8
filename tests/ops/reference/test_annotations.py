"""Boxes, points, runs and masks moved to the resized image."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.data.coco.masks import run_lengths
from awsdet.ops.placement import Placement
from awsdet.ops.reference.annotations import transform_boxes, transform_mask, transform_polygons, transform_runs


def placed(size, flip=False, corner=(0, 0), window=None):
    """The Placement of one image."""
    return Placement(*map(tf.convert_to_tensor, (size, corner, window or size, flip)))


def boxes_of(boxes, original_size, placement, min_visible=0.0):
    """(the boxes, whether each was cut, whether enough of each is left), as lists."""
    shares = tf.fill([len(boxes)], min_visible)
    found = transform_boxes(tf.constant(boxes, tf.float64), original_size, placement, shares)
    return [part.numpy().tolist() for part in found]


def polygons_of(parts, original_size, placement):
    """The remaining parts of one object, as lists."""
    polygons = tf.ragged.constant([parts], ragged_rank=2, dtype=tf.float64)
    return transform_polygons(polygons, original_size, placement)[0].to_list()


def test_boxes_scale_by_axis_clip_and_flip():
    boxes = [[10.0, 20.0, 30.0, 40.0], [-5.0, -5.0, 105.0, 55.0]]
    plain, cut, _ = boxes_of(boxes, [50, 100], placed([100, 300]))
    assert plain == [[30.0, 40.0, 90.0, 80.0], [0.0, 0.0, 300.0, 100.0]] and cut == [False, False]
    flipped, _, _ = boxes_of(boxes, [50, 100], placed([100, 300], True))
    assert flipped == [[210.0, 40.0, 270.0, 80.0], [0.0, 0.0, 300.0, 100.0]]


def test_boxes_are_cut_at_the_window_and_say_what_is_left():
    boxes = [[10.0, 10.0, 30.0, 20.0], [0.0, 0.0, 25.5, 40.0], [0.0, 0.0, 26.0, 40.0], [30.0, 10.0, 30.5, 10.5]]
    window = placed([50, 100], corner=[10, 25], window=[30, 50])
    found, cut, enough = boxes_of([*boxes, [0.0, 0.0, 9.0, 9.0]], [50, 100], window)
    assert found[:4] == [[0, 0, 5, 10], [0, 0, 0.5, 30], [0, 0, 1, 30], [5, 0, 5.5, 0.5]]
    assert cut == [True, True, True, False, True]  # the fourth is small, but whole
    assert enough == [True, False, True, False, False]
    assert boxes_of(boxes[:1], [50, 100], window, 0.25)[2] == [True]
    assert boxes_of(boxes[:1], [50, 100], window, 0.26)[2] == [False]


def test_polygons_scale_and_flip_without_cutting_if_the_window_is_the_image():
    part = [10.0, 20.0, -4.0, 60.0, 3.0, 3.0]
    assert polygons_of([part], [50, 100], placed([100, 300])) == [[30.0, 40.0, -12.0, 120.0, 9.0, 6.0]]
    assert polygons_of([part], [50, 100], placed([100, 300], True)) == [[270.0, 40.0, 312.0, 120.0, 291.0, 6.0]]


def test_polygons_are_cut_at_the_window():
    window = placed([50, 100], corner=[10, 20], window=[30, 50])
    inside = [30.0, 15.0, 40.0, 15.0, 40.0, 25.0]
    square = [0.0, 0.0, 90.0, 0.0, 90.0, 45.0, 0.0, 45.0]
    outside = [0.0, 0.0, 19.0, 0.0, 19.0, 45.0]
    at_a_side = [0.0, 12.0, 20.0, 12.0, 20.0, 20.0]  # touches the window, and nothing more
    around_a_corner = [0.0, 0.0, 60.0, 0.0, 60.0, 9.0, 19.0, 9.0, 19.0, 40.0, 0.0, 40.0]
    kept, whole_window = polygons_of([outside, inside, at_a_side, square, around_a_corner], [50, 100], window)
    assert kept == [10.0, 5.0, 20.0, 5.0, 20.0, 15.0]
    corners = {tuple(corner) for corner in np.reshape(whole_window, (-1, 2)).tolist()}
    assert corners == {(0, 0), (50, 0), (50, 30), (0, 30)}


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
        transform_runs(tf.constant(run_lengths(mask), tf.int64), [23, 31], placed(new_size, flip)),
        transform_mask(mask.astype(np.uint8), placed(new_size, flip)),
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
    runs = transform_runs(tf.constant(counts, tf.int64), [3, 4], placed([3, 4])).numpy().tolist()
    assert runs == run_lengths(mask.astype(bool))


@pytest.mark.parametrize("flip", [False, True])
def test_runs_of_a_window_are_those_of_its_pixels(flip):
    mask = np.random.default_rng(4).random((23, 31)) < 0.4
    expected = _nearest(mask, (40, 60), flip)[7:19, 33:60]
    window = placed([40, 60], flip, [7, 33], [12, 27])
    assert transform_mask(mask.astype(np.uint8), window).numpy().tolist() == run_lengths(expected)
    runs = transform_runs(tf.constant(run_lengths(mask), tf.int64), [23, 31], window)
    assert runs.numpy().tolist() == run_lengths(expected)
