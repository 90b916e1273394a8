"""Anchors: values, order, validity."""

import numpy as np
import tensorflow as tf

from awsdet.detection import anchors


def test_values_and_order():
    boxes = anchors.Anchors((8.0,), (0.5, 1.0, 2.0)).of_level((2, 3), 8).numpy()
    assert boxes.shape == (18, 4)
    np.testing.assert_allclose(boxes[1], [-32, -32, 32, 32])
    np.testing.assert_allclose(boxes[3 * 1 + 1] - boxes[1], [8, 0, 8, 0])  # the next column
    np.testing.assert_allclose(boxes[3 * 3 + 1] - boxes[1], [0, 8, 0, 8])  # the next row
    width, height = boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1]
    np.testing.assert_allclose([height / width, height * width], [0.5, 64 * 64], rtol=1e-5)


def test_valid_cells_of_non_square_maps():
    valid = anchors.valid_cells((4, 6), 16, tf.constant([[64, 96], [32, 96], [64, 33]]))
    grids = valid.numpy().reshape(3, 4, 6)
    assert grids[0].all()
    assert grids[1, :2].all() and not grids[1, 2:].any()
    assert grids[2, :, :3].all() and not grids[2, :, 3:].any()


def test_anchors_that_reach_out_of_an_image():
    boxes = tf.constant([[0.0, 0, 8, 8], [-1, 0, 8, 8], [0, 0, 10, 8], [0, 0, 8, 9.5]])
    inside = anchors.inside(boxes, tf.constant([[10, 10], [9, 20]]), 0.0).numpy()
    np.testing.assert_array_equal(inside, [[True, False, False, True], [True, False, True, False]])
    assert anchors.inside(boxes, tf.constant([[10, 10]]), 2.0).numpy().all()
