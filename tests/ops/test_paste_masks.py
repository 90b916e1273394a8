"""The compiled paste_masks against its NumPy twin (which has its own test from the definition) and pycocotools."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.ops import library
from awsdet.ops import paste_masks as compiled
from awsdet.ops.reference import paste_masks as plain


def blobs(rng, count, rows, columns):
    """Smooth random probabilities with several regions and holes."""
    coarse = rng.uniform(size=(count, 5, 5)).astype(np.float32)

    def along(side):
        at = np.linspace(0, 3.999, side)
        weights = np.maximum(1 - np.abs(at[:, np.newaxis] - np.arange(5)), 0)
        return weights.astype(np.float32)

    return np.einsum("ri,nij,cj->nrc", along(rows), coarse, along(columns))


def random_boxes(rng, count, spread, size):
    corner = rng.uniform(-spread / 3, spread, (count, 2))
    return np.concatenate([corner, corner + rng.exponential(size, (count, 2)) - 1], axis=1).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_twin_byte_for_byte(seed):
    """Images, masks and thresholds of all sorts; noise makes many short runs, smooth masks long ones."""
    rng = np.random.default_rng(seed)
    count, (rows, columns) = 40, rng.integers(1, 40, 2)
    masks = blobs(rng, count, rows, columns)
    if seed % 2:
        masks = rng.uniform(size=masks.shape).astype(np.float32)
    sizes = rng.integers(0, 120, (count, 2))
    boxes, threshold = random_boxes(rng, count, 100, 50), rng.uniform(0.1, 0.7)
    found = compiled.paste_masks(masks, boxes, sizes, threshold)
    assert found == plain.paste_masks(masks, boxes, sizes, threshold)
    assert coco_mask.area(found).max() > 0


def test_masks_do_not_depend_on_each_other():
    """All together give the same result as one by one, however they are distributed to threads."""
    rng = np.random.default_rng(10)
    masks, boxes, sizes = blobs(rng, 60, 28, 28), random_boxes(rng, 60, 300, 100), rng.integers(1, 400, (60, 2))
    alone = [compiled.paste_masks(masks[i : i + 1], boxes[i : i + 1], sizes[i])[0] for i in range(60)]
    assert compiled.paste_masks(masks, boxes, sizes) == alone


def test_counts_are_those_of_pycocotools():
    """Decoded and encoded again, they give the same bytes, even for runs above 2^15, which take four characters."""
    rng = np.random.default_rng(20)
    masks = blobs(rng, 30, 28, 28)
    found = compiled.paste_masks(masks, random_boxes(rng, 30, 700, 300), (801, 1203))
    found += compiled.paste_masks(np.ones((1, 3, 3)), [[-9000, -9000, 9000, 9000]], (1200, 900))
    bitmaps = coco_mask.decode(found[:-1])
    assert coco_mask.encode(np.asfortranarray(bitmaps)) == found[:-1]
    assert coco_mask.decode(found[-1]).all()


@pytest.mark.parametrize("side", [1, 2, 28])
def test_edges_of_the_image_and_odd_boxes(side):
    height, width = 21, 30
    nan, inf = np.nan, np.inf
    boxes = np.array(
        [
            [0, 0, width, height],  # the image itself: columns' runs may meet
            [-1000, -1000, 1000, 1000],
            [-1e30, -1e30, 1e30, 1e30],
            [-3, 5, 4, 40],
            [29.5, 20.5, 30, 21],  # the last pixel
            [29, 0, 30, height],  # the last column
            [0, 20, width, 21],  # the last row
            [10.2, 10.1, 10.6, 10.7],  # under one pixel, on a pixel's centre
            [10.6, 10.6, 10.9, 10.9],  # under one pixel, between the centres
            [10.5, 10.5, 10.5 + 1e-6, 10.5 + 1e-6],
            [-50, -50, -20, -20],
            [1e9, 3, 1e9 + 100, 8],
            [5, 5, 5, 9],
            [9, 9, 5, 5],
            [nan, 1, 5, 5],
            [1, 1, inf, 5],
            [-inf, 1, inf, 5],
            [-3e38, 1, 3e38, 5],  # the width overflows
            [0, 0, 1e-40, 5],
        ],
        np.float32,
    )
    masks = blobs(np.random.default_rng(4), len(boxes), side, side)
    for probabilities in (masks, np.ones_like(masks), np.zeros_like(masks), np.round(masks)):
        found = compiled.paste_masks(probabilities, boxes, (height, width))
        assert found == plain.paste_masks(probabilities, boxes, (height, width))
        assert coco_mask.encode(np.asfortranarray(coco_mask.decode(found))) == found
    for size in ((0, 0), (0, 30), (21, 0), (1, 1)):
        found = compiled.paste_masks(masks, boxes, size)
        assert found == plain.paste_masks(masks, boxes, size)
        assert found[0] == coco_mask.encode(coco_mask.decode(found[0])) and found[0]["size"] == list(size)


def test_odd_probabilities():
    """A pixel next to NaN, or between inf and -inf, is in no mask; all others are unchanged."""
    masks = np.ones((4, 6, 6), np.float32)
    masks[0, 2, 3], masks[1, 1, 1], masks[2] = np.nan, np.inf, 1e30
    masks[3, :, 3], masks[3, :, 4] = np.inf, -np.inf
    boxes = np.tile(np.float32([[1, 2, 25, 20]]), (4, 1))
    with np.errstate(invalid="ignore", over="ignore"):
        expected = plain.paste_masks(masks, boxes, (24, 30))
    assert compiled.paste_masks(masks, boxes, (24, 30)) == expected


def test_a_large_image_costs_what_its_window_costs():
    """More pixels than an int32 counts, and a box in its last corner; the whole image would be 5 GB."""
    size = (70_000, 70_000)
    found = compiled.paste_masks(np.ones((2, 28, 28)), [[69_990, 69_980, 70_000, 70_000], [5, 5, 9, 8]], size)
    height = size[0]
    expected = [height * 69_990 + 69_980]
    for _ in range(9):
        expected += [20, 69_980]
    expected += [20]
    assert runs_of(found[0]["counts"]) == expected
    assert sum(runs_of(found[1]["counts"])) == height * size[1]


def runs_of(counts):
    """Run lengths from COCO's compressed counts, an implementation of our own without a limit of 32 bits."""
    runs, value, shift = [], 0, 0
    for char in counts:
        bits = char - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def test_no_masks_and_half_precision():
    assert compiled.paste_masks(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), (10, 10)) == []
    masks = blobs(np.random.default_rng(5), 1, 28, 28).astype(np.float16)
    box = [[1.3, 2.2, 17.9, 14.1]]
    assert compiled.paste_masks(masks, box, (20, 24)) == plain.paste_masks(masks.astype(np.float32), box, (20, 24))


def test_wrong_arguments_are_named():
    mask, box = np.ones((1, 28, 28)), [[0, 0, 5, 5]]
    for threshold in (0, -1, np.nan):
        with pytest.raises(ValueError, match="threshold must be above 0"):
            compiled.paste_masks(mask, box, (10, 10), threshold)
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match=r"image_size\[0\] is -1 x 10"):
        compiled.paste_masks(mask, box, (-1, 10))
    with pytest.raises(refused, match=r"boxes must be \[1, 4\].*got shape \[2,4\]"):
        compiled.paste_masks(mask, box * 2, (10, 10))
    with pytest.raises(refused, match=r"probabilities must be \[N, rows, columns\].*got shape \[1,0,28\]"):
        compiled.paste_masks(mask[:, :0], box, (10, 10))
    with pytest.raises(refused, match="probabilities must be"):
        compiled.paste_masks(mask[0], box, (10, 10))
    operator = library.load().awsdet_paste_masks
    with pytest.raises(refused, match="threshold must be above 0"):
        operator(mask.astype(np.float32), np.float32(box), [[9, 9]], 0.0)
    with pytest.raises(refused, match=r"image_size must be \[1, 2\]"):
        operator(mask.astype(np.float32), np.float32(box), [9, 9], 0.5)


def test_shapes_in_a_graph():
    def counts_of(masks, boxes, sizes):
        counts = library.load().awsdet_paste_masks(masks, boxes, sizes, 0.5)
        assert counts.shape.as_list() == [masks.shape[0]] and counts.dtype == tf.string
        return counts

    unknown = tf.function(counts_of).get_concrete_function(
        tf.TensorSpec([None, None, None]), tf.TensorSpec([None, 4]), tf.TensorSpec([None, 2], tf.int32)
    )
    traced = tf.function(counts_of)
    assert unknown(tf.zeros([0, 28, 28]), tf.zeros([0, 4]), tf.zeros([0, 2], tf.int32)).shape == (0,)
    assert traced(tf.ones([3, 28, 28]), tf.ones([3, 4]), tf.ones([3, 2], tf.int32)).numpy().tolist() == [b"1"] * 3
    with pytest.raises(ValueError, match="must be equal"):
        traced(tf.ones([3, 28, 28]), tf.ones([2, 4]), tf.ones([3, 2], tf.int32))
