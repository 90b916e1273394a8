"""paste_masks against a full-size paste and pycocotools' own encoder."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.ops.reference.paste_masks import paste_masks


def paste_at_full_size(mask, box, height, width, threshold):
    """One mask, pixel by pixel of the whole image, straight from the definition. Returns uint8 [height, width]."""
    side = len(mask)
    x1, y1, x2, y2 = np.asarray(box, np.float32)
    pasted = np.zeros((height, width), np.uint8)
    if not (np.isfinite([x2 - x1, y2 - y1]).all() and x2 > x1 and y2 > y1):
        return pasted
    one, half = np.float32(1), np.float32(0.5)

    def value(row, column):
        return mask[row, column] if 0 <= row < side and 0 <= column < side else np.float32(0)

    for r in range(height):
        y = (np.float32(r) + half - y1) / (y2 - y1) * np.float32(side) - half
        if not -2 < y < side + 1:
            continue
        i, fy = int(np.floor(y)), y - np.floor(y)
        for c in range(width):
            x = (np.float32(c) + half - x1) / (x2 - x1) * np.float32(side) - half
            if not -2 < x < side + 1:
                continue
            j, fx = int(np.floor(x)), x - np.floor(x)
            left = value(i, j) * (one - fy) + value(i + 1, j) * fy
            right = value(i, j + 1) * (one - fy) + value(i + 1, j + 1) * fy
            pasted[r, c] = left * (one - fx) + right * fx >= np.float32(threshold)
    return pasted


def assert_same(masks, boxes, height, width, threshold=0.5):
    found = paste_masks(masks, boxes, (height, width), threshold)
    assert len(found) == len(boxes)
    for rle, mask, box in zip(found, masks, boxes):
        expected = coco_mask.encode(np.asfortranarray(paste_at_full_size(mask, box, height, width, threshold)))
        assert rle == expected, box


def blobs(rng, count, side):
    """Smooth random probabilities with several regions and holes."""
    coarse = rng.uniform(size=(count, 5, 5)).astype(np.float32)
    at = np.linspace(0, 3.999, side)
    i, f = at.astype(int), (at % 1).astype(np.float32)
    rows = coarse[:, i] * (1 - f)[:, None] + coarse[:, i + 1] * f[:, None]
    return rows[:, :, i] * (1 - f) + rows[:, :, i + 1] * f


@pytest.mark.parametrize("threshold", [0.5, 0.05, 0.95])
def test_random_boxes_in_and_around_the_image(threshold):
    rng = np.random.default_rng(3)
    height, width, count = 37, 53, 40
    corner = rng.uniform(-15, 50, (count, 2))
    boxes = np.concatenate([corner, corner + rng.exponential(15, (count, 2))], axis=1).astype(np.float32)
    assert_same(blobs(rng, count, 28), boxes, height, width, threshold)


def test_edges_of_the_image_and_odd_boxes():
    rng = np.random.default_rng(4)
    height, width = 21, 30
    boxes = np.array(
        [
            [0, 0, width, height],  # the image itself: columns' runs may meet
            [-1000, -1000, 1000, 1000],  # far larger than the image
            [-3, 5, 4, 40],
            [29.5, 20.5, 30, 21],  # the last pixel
            [29, 0, 30, height],  # the last column
            [0, 20, width, 21],  # the last row
            [10.2, 10.1, 10.6, 10.7],  # under one pixel, on a pixel's centre
            [10.6, 10.6, 10.9, 10.9],  # under one pixel, between the centres
            [-50, -50, -20, -20],  # outside
            [100, 3, 120, 8],
            [5, 5, 5, 9],  # no area
            [9, 9, 5, 5],  # turned inside out
            [np.nan, 1, 5, 5],
            [1, 1, np.inf, 5],
            [-np.inf, 1, np.inf, 5],
            [-3e38, 1, 3e38, 5],  # the width overflows
        ],
        np.float32,
    )
    with np.errstate(over="ignore", invalid="ignore"):
        for masks in (blobs(rng, len(boxes), 14), np.ones((len(boxes), 14, 14), np.float32)):
            assert_same(masks, boxes, height, width)


def test_whole_image_mask_has_a_leading_run_of_no_zeros():
    rle = paste_masks(np.ones((1, 28, 28)), [[-9, -9, 25, 19]], (10, 16))[0]
    assert rle == coco_mask.encode(np.ones((10, 16), np.uint8, order="F"))


def test_box_on_pixel_edges_covers_exactly_its_pixels():
    rle = paste_masks(np.ones((1, 28, 28)), [[3, 2, 17, 9]], (12, 20))[0]
    expected = np.zeros((12, 20), np.uint8, order="F")
    expected[2:9, 3:17] = 1
    np.testing.assert_array_equal(coco_mask.decode(rle), expected)


def test_no_masks():
    assert paste_masks(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), (10, 10)) == []


def test_half_precision_probabilities():
    masks = blobs(np.random.default_rng(5), 1, 28).astype(np.float16)
    assert_same(masks.astype(np.float32), np.array([[1.3, 2.2, 17.9, 14.1]], np.float32), 20, 24)
    assert paste_masks(masks, [[1, 2, 9, 9]], (20, 24)) == paste_masks(
        masks.astype(np.float32), [[1, 2, 9, 9]], (20, 24)
    )


def test_threshold_zero_is_refused():
    with pytest.raises(ValueError, match="threshold must be above 0"):
        paste_masks(np.ones((1, 28, 28)), [[0, 0, 5, 5]], (10, 10), threshold=0)


def test_masks_of_several_images_and_oblong_masks():
    rng = np.random.default_rng(6)
    masks = blobs(rng, 3, 20)[:, :9]
    boxes = np.array([[2.5, 1, 19, 12], [-4, 3, 8, 30], [0, 0, 7, 5]], np.float32)
    sizes = [(21, 30), (9, 14), (0, 12)]
    together = paste_masks(masks, boxes, sizes)
    assert together == [paste_masks(masks[i : i + 1], boxes[i : i + 1], sizes[i])[0] for i in range(3)]
    assert coco_mask.area(together[:2]).min() > 0 and coco_mask.area(together[2]) == 0
