"""Anchors: values, order, validity."""

import numpy as np
import tensorflow as tf

from awsdet.detection.anchors import Anchors


def of_one_level(height, width, stride, image_size, anchors=None, pad_multiple=1, border=-1.0):
    """Anchors and which are valid of a pyramid of one level, by default one square anchor of two cells per cell."""
    anchors = anchors or Anchors((2.0,), (1.0,))
    return anchors.with_valid([tf.zeros([1, height, width, 1])], [stride], image_size, pad_multiple, border)


def test_values_and_order():
    boxes = Anchors((8.0,), (0.5, 1.0, 2.0)).of_level((2, 3), 8).numpy()
    assert boxes.shape == (18, 4)
    np.testing.assert_allclose(boxes[1], [-32, -32, 32, 32])
    np.testing.assert_allclose(boxes[3 * 1 + 1] - boxes[1], [8, 0, 8, 0])  # the next column
    np.testing.assert_allclose(boxes[3 * 3 + 1] - boxes[1], [0, 8, 0, 8])  # the next row
    width, height = boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1]
    np.testing.assert_allclose([height / width, height * width], [0.5, 64 * 64], rtol=1e-5)


def test_levels_of_any_size_follow_each_other():
    """Also if a graph does not know their sizes."""
    anchors, strides = Anchors((4.0, 8.0), (0.5, 1.0)), (4, 8)
    pyramid = [tf.zeros([2, 3, 5, 1]), tf.zeros([2, 2, 3, 1])]
    levels = [anchors.of_level((3, 5), 4), anchors.of_level((2, 3), 8)]

    @tf.function(input_signature=[[tf.TensorSpec([None, None, None, 1])] * 2], autograph=False)
    def of_unknown_sizes(pyramid):
        return anchors.of_pyramid(pyramid, strides), anchors.with_valid(pyramid, strides, [[12, 20]], 1).boxes

    for found in (*of_unknown_sizes(pyramid), anchors.of_pyramid(pyramid, strides)):
        np.testing.assert_array_equal(found, tf.concat(levels, axis=0))


def test_valid_cells_of_non_square_maps():
    valid = of_one_level(4, 6, 16, tf.constant([[64, 96], [32, 96], [64, 33]])).valid
    grids = valid.numpy().reshape(3, 4, 6)
    assert grids[0].all()
    assert grids[1, :2].all() and not grids[1, 2:].any()
    assert grids[2, :, :3].all() and not grids[2, :, 3:].any()


def test_images_are_padded_before_that():
    valid = of_one_level(4, 6, 16, tf.constant([[33, 1]]), Anchors((2.0,), (0.5, 1.0)), pad_multiple=32).valid
    grid = valid.numpy().reshape(4, 6, 2)
    assert grid[:4, :2].all() and not grid[:, 2:].any()


def test_anchors_that_reach_out_of_an_image():
    """One anchor per cell, from 8 px before its corner to 8 px behind."""
    sizes = tf.constant([[24, 24], [25, 40]])

    def grid(border):
        return of_one_level(4, 4, 8, sizes, border=border, pad_multiple=32).valid.numpy().reshape(2, 4, 4)

    inside = np.zeros((2, 4, 4), bool)
    inside[0, 1, 1] = True  # the one at 16 ends at 24, which counts as outside
    inside[1, 1:3, 1:4] = True
    np.testing.assert_array_equal(grid(0.0), inside)
    assert grid(-1.0).all() and grid(1.0)[0, 1:3, 1:3].all() and not grid(1.0)[0, 0].any()
