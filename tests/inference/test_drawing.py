"""Drawing: the right pixels in the right colour, at the edges of the image too."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.detection.found import Found
from awsdet.inference.drawing import DrawnObject, class_color, detected_objects, draw, draw_objects, side_by_side


def rle(height, width, rows, columns):
    mask = np.zeros((height, width), np.uint8, order="F")
    mask[rows, columns] = 1
    return coco_mask.encode(mask)


def test_box_mask_and_label():
    image = np.full((100, 140, 3), 128, np.uint8)
    kept = image.copy()
    mask = rle(100, 140, slice(50, 80), slice(40, 90))
    picture = np.asarray(draw_objects(image, [DrawnObject((40, 50, 100, 90), "cat", 3, mask)]))
    np.testing.assert_array_equal(image, kept)
    assert picture.shape == image.shape
    color = np.array(class_color(3))
    np.testing.assert_array_equal(picture[85, 40], color)  # left edge
    np.testing.assert_array_equal(picture[89, 70], color)  # lower edge, the last row inside the box
    np.testing.assert_array_equal(picture[90, 70], [128] * 3)
    np.testing.assert_allclose(picture[70, 60], 128 * 0.55 + color * 0.45, atol=1.5)
    np.testing.assert_array_equal(picture[85, 95], [128] * 3)  # in the box, outside the mask
    label = picture[30:50, 40:80].reshape(-1, 3)
    assert (label == color).all(1).sum() > 100  # the field of the name, above the box


def test_boxes_at_and_beyond_the_edges_do_not_fail():
    image = Image.new("L", (30, 20), 60)
    boxes = [(0, 0, 30, 20), (-10, -5, 3, 4), (29.5, 19.5, 30, 20), (5, 5, 5, 5), (40, 40, 50, 50)]
    picture = draw_objects(image, [DrawnObject(box, "a name wider than the image", i) for i, box in enumerate(boxes)])
    assert picture.mode == "RGB" and picture.size == (30, 20)


def test_scale_enlarges_everything():
    mask = rle(20, 30, slice(10, 18), slice(10, 25))
    picture = np.asarray(
        draw_objects(np.zeros((20, 30, 3), np.uint8), [DrawnObject((10, 10, 25, 18), "", 0, mask)], scale=5)
    )
    assert picture.shape == (100, 150, 3)
    color = np.array(class_color(0))
    np.testing.assert_array_equal(picture[70, 50], color)
    np.testing.assert_allclose(picture[70, 100], color * 0.45, atol=1.5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"score_threshold": 50}, "score_threshold is 50; it must lie between 0 and 1"),
        ({"score_threshold": -0.1}, "score_threshold is -0.1"),
        ({"score_threshold": float("nan")}, "score_threshold is nan"),
        ({"scale": 0}, "scale is 0; it must be more than 0"),
    ],
)
def test_a_threshold_that_hides_everything_is_refused(arguments, words):
    """A threshold in percent would give a picture without objects, as if nothing had been found."""
    found = Found(np.zeros((1, 4), np.float32), np.array([0.9], np.float32), np.array([0]), None)
    with pytest.raises(ValueError, match=words):
        draw(np.zeros((20, 30, 3), np.uint8), found, **arguments)


def test_colors_of_80_classes_differ():
    colors = np.array([class_color(i) for i in range(80)], float)
    distance = np.linalg.norm(colors[:, None] - colors, axis=-1) + 1e3 * np.eye(80)
    assert distance.min() > 3
    neighbours = np.linalg.norm(np.diff(colors, axis=0), axis=1)
    assert neighbours.min() > 100


def test_detected_objects_by_score():
    found = Found(
        np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32),
        np.array([0.876, 0.3], np.float32),
        np.array([1, 0], np.int32),
        None,
    )
    assert [o.label for o in detected_objects(found, ["cat", "dog"])] == ["dog 0.88", "cat 0.30"]
    objects = detected_objects(found, ["cat", "dog"], 0.5)
    assert objects == [DrawnObject((1, 2, 3, 4), "dog 0.88", 1, None, short="class 1 0.88")]


def test_side_by_side_of_different_shapes():
    wide, tall = np.zeros((50, 100, 3), np.uint8), np.zeros((100, 50, 3), np.uint8)
    item = DrawnObject((10, 10, 40, 40), "x", 2)
    sheet = side_by_side([(wide, [item], []), (tall, [], [item])], panel_side=200)
    assert sheet.size == (2 * 200 + 3 * 8, 30 + (100 + 8) + (200 + 8))
    pixels, color = np.asarray(sheet), class_color(2)
    assert (pixels[30 + 50, 8 + 20] == color).all()  # left edge of the box in the first row, left panel
    assert not (pixels[30 + 50, 8 + 200 + 8 + 20] == color).all()
    assert (pixels[30 + 108 + 60, 8 + 200 + 8 + 20] == color).all()  # second row, right panel


def test_side_by_side_of_nothing():
    assert side_by_side([]).size[1] == 30
