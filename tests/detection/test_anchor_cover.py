"""The best anchor of each box, against all of the project's own anchors."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.detection import boxes as box_lib
from awsdet.detection.anchor_cover import best_iou
from awsdet.detection.anchors import Anchors


def brute_force(boxes, size, anchors, strides, pad_multiple, allowed_border):
    """From all anchors of a batch whose canvas is larger than the image's own padding."""
    canvas = [-(-side // pad_multiple) * pad_multiple + pad_multiple for side in size]
    pyramid = [tf.zeros([1, -(-canvas[0] // stride), -(-canvas[1] // stride), 1]) for stride in strides]
    made = anchors.with_valid(pyramid, strides, tf.constant([size]), pad_multiple, allowed_border)
    valid = tf.boolean_mask(made.boxes, made.valid[0])
    if not len(valid):
        return np.zeros(len(boxes))
    return tf.reduce_max(box_lib.iou(tf.constant(boxes, tf.float32), valid), axis=1).numpy()


@pytest.mark.parametrize(
    "anchors, strides, pad_multiple, border",
    [
        (Anchors((8.0,), (0.5, 1.0, 2.0)), (4, 8, 16, 32, 64), 32, -1.0),
        (Anchors((4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3)), (0.5, 1.0, 2.0)), (8, 16, 32, 64, 128), 64, -1.0),
        (Anchors((8.0,), (0.5, 1.0, 2.0)), (4, 8, 16, 32, 64), 32, 0.0),
        (Anchors((2.0, 8.0), (0.2, 1.0, 7.0)), (4, 16), 96, 5.0),
    ],
)
def test_equals_brute_force(anchors, strides, pad_multiple, border):
    rng = np.random.default_rng(len(strides))
    for size in ((100, 161), (37, 33), (320, 224)):
        height, width = size
        corners = rng.uniform(0, [width, height] * 2, (300, 4))
        corners[:100, 2:] = corners[:100, :2] + rng.uniform(0.5, 20, (100, 2))  # small ones
        boxes = np.concatenate(
            [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
        )
        boxes = np.clip(boxes, 0, [width, height] * 2)
        found = best_iou(boxes, np.tile(size, (300, 1)), anchors, strides, pad_multiple, border)
        expected = brute_force(boxes, size, anchors, strides, pad_multiple, border)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        assert expected.max() > 0.5 or border >= 0


def test_each_box_has_the_size_of_its_own_image():
    anchors = Anchors((8.0,), (1.0,))
    boxes = np.array([[0, 0, 60, 30], [0, 0, 60, 30]])
    found = best_iou(boxes, [[32, 64], [512, 512]], anchors, (8,), 32, 0.0)
    assert found[0] == 0  # no anchor of 64 x 64 px lies in an image of 32 x 64
    assert found[1] > 0.4


def test_an_anchor_itself_and_boxes_without_area():
    anchors = Anchors((8.0,), (1.0,))
    boxes = [[16, 16, 80, 80], [20, 20, 20, 50], [5, 5, 5, 5]]
    np.testing.assert_array_equal(best_iou(boxes, [[96, 96]] * 3, anchors, (8,)), [1, 0, 0])


def test_no_boxes():
    assert best_iou(np.zeros((0, 4)), np.zeros((0, 2)), Anchors((8.0,), (1.0,)), (8,)).shape == (0,)
