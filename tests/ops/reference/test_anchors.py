"""The twin of anchors, by hand."""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.anchors import anchors

OPTIONS = {"strides": (4, 8), "shapes": [[(-1.0, -2, 1, 2), (0, 0, 3, 3)], [(-4.0, -4, 4, 4), (-1, -1, 1, 1)]]}


def test_order_is_level_row_column_shape():
    found = anchors(tf.constant([[1, 2], [1, 1]]), tf.constant([[4, 8]]), **OPTIONS)
    expected = [[-1, -2, 1, 2], [0, 0, 3, 3], [3, -2, 5, 2], [4, 0, 7, 3], [-4, -4, 4, 4], [-1, -1, 1, 1]]
    np.testing.assert_array_equal(found.boxes, expected)
    assert found.valid.numpy().all()


def test_cells_beyond_the_padded_image_and_boxes_beyond_the_border():
    sizes, image = tf.constant([[1, 2], [1, 1]]), tf.constant([[3, 3], [4, 7]])
    valid = anchors(sizes, image, pad_multiple=4, **OPTIONS).valid.numpy()
    np.testing.assert_array_equal(valid, [[1, 1, 0, 0, 1, 1], [1] * 6])
    valid = anchors(sizes, image, pad_multiple=4, allowed_border=0.0, **OPTIONS).valid.numpy()
    # A box that ends where the image ends reaches out.
    np.testing.assert_array_equal(valid, [[0] * 6, [0, 1, 0, 0, 0, 0]])
