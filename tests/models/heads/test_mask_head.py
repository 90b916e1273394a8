"""The mask head's initial weights, and the positives that are its input."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.reader.make_batch import make_batch
from awsdet.detection.suppression import Detections
from awsdet.models.heads.box_head import RoISample
from awsdet.models.heads.mask_head import Filling, MaskHead, detected_rois, packed_rois, positive_rois
from awsdet.models.layers.initializers import Initializers

SQUARE = [[0, 0, 9, 0, 9, 9, 0, 9]]


def masks_of(masks):
    """The masks of a batch of 16 x 16 px images, for each image a list as `make_batch` takes it."""
    nothing = [[0] * len(of_image) for of_image in masks]
    boxes = [[[0, 0, 9, 9]] * len(of_image) for of_image in masks]
    return make_batch([np.zeros((16, 16, 3), np.uint8)] * len(masks), boxes, nothing, masks)["masks"]


@pytest.mark.parametrize(
    ("counts", "per_image", "filled"),
    [
        ((0, 0), False, 8),
        ((0, 1), False, 8),
        ((5, 3), False, 8),
        ((4, 5), False, 16),
        ((10, 10), False, 24),
        ((0, 0), True, 16),
        ((9, 7), True, 16),
        ((10, 7), True, 32),
    ],
)
def test_positives_come_first_and_are_filled_up(counts, per_image, filled):
    random = np.random.default_rng(0)
    rois, positive = tf.constant(random.uniform(1, 99, (2, 10, 4)), tf.float32), tf.sequence_mask(counts, 10)
    truth = tf.constant(random.integers(0, 5, (2, 10)), tf.int32)
    classes = tf.constant(random.integers(1, 9, (2, 5)), tf.int32)
    labels = tf.where(positive, tf.gather(classes, truth, batch_dims=1), 80)
    sampled = RoISample(rois, positive, tf.ones([2, 10], tf.bool), truth, labels, rois, ~positive)
    found = positive_rois(packed_rois(sampled, 10), classes, masks_of([[SQUARE] * 5] * 2), Filling(8, per_image))
    total = sum(counts)
    assert int(found.count) == total
    expected = (rois[positive], tf.cast(tf.where(positive)[:, 0], tf.int32), truth[positive], labels[positive])
    for ours, real in zip(found, expected):
        assert ours.shape[0] == filled and ours.dtype == real.dtype
        np.testing.assert_array_equal(ours[:total], real)
        assert not np.any(ours[total:])


def test_objects_without_a_mask_have_no_positives():
    """Neither those without polygons and runs, nor those whose runs are of zeros alone."""
    runs = {"size": [16, 16], "counts": [17, 5, 234]}
    masks = masks_of([[None, SQUARE, {"size": [16, 16], "counts": [256]}], [None, None, None], [runs, SQUARE, None]])
    truth = tf.constant([[0, 1, 2, 1], [0, 1, 2, 0], [2, 0, 1, 0]])
    rois = tf.random.stateless_uniform([3, 4, 4], (1, 2))
    positive = tf.constant([[True, True, True, False], [True, True, True, False], [True] * 4])
    sampled = RoISample(rois, positive, positive, truth, truth, rois, ~positive)
    classes = tf.constant([[5, 6, 7], [1, 2, 3], [8, 9, 4]])
    found = positive_rois(packed_rois(sampled, 4), classes, masks, Filling(8))
    assert int(found.count) == 4
    assert found.image_index[:4].numpy().tolist() == [0, 2, 2, 2] and found.truth[:4].numpy().tolist() == [1, 0, 1, 0]
    assert found.labels[:4].numpy().tolist() == [6, 8, 9, 8]
    np.testing.assert_array_equal(found.boxes[:4], tf.stack([rois[0, 1], rois[2, 1], rois[2, 2], rois[2, 3]]))


def test_numbers_of_objects_survive_the_packing():
    """As float32, beside a box that is not a number."""
    truth = tf.constant([[2**24, 0, 12_345_678]])
    rois, positive = tf.fill([1, 3, 4], float("nan")), tf.constant([[True, False, True]])
    sampled = RoISample(rois, positive, positive, truth, truth, rois, ~positive)
    packed = packed_rois(sampled, 3)
    assert packed_rois(sampled, 2).shape == [1, 2, 6]
    assert packed.dtype == tf.float32 and packed.shape == [1, 3, 6]
    np.testing.assert_array_equal(tf.cast(packed[..., 4], tf.int32), truth)
    np.testing.assert_array_equal(packed[..., 5], [[1, 0, 1]])


@pytest.mark.parametrize("images", [1, 2, 8])
def test_few_numbers_of_rois_occur(images):
    """With 128 positives per image at most: 16 per image at any batch size, and less than a step is wasted."""
    per_image, always = Filling(8, per_image=True), Filling(8)
    found = {n: (int(per_image.filled(n, images)), int(always.filled(n, images))) for n in range(128 * images + 1)}
    assert len({q for q, _ in found.values()}) == 16 and len({q for _, q in found.values()}) == 16 * images
    for positives, (filled, multiple_of_8) in found.items():
        assert 0 <= filled - positives < 8 * images or positives == 0
        assert 0 <= multiple_of_8 - positives < 8 or positives == 0
    assert found[0] == (8 * images, 8)


@pytest.mark.parametrize("counts", [(0, 0), (3, 0), (1, 4)])
def test_masks_of_every_slot_are_those_of_the_used_ones(counts):
    """What a GPU computes, all slots, and what a CPU computes, put at the same places."""
    valid = tf.sequence_mask(counts, 4)
    boxes = tf.random.stateless_uniform([2, 4, 4], (1, 2)) * tf.cast(valid, tf.float32)[..., tf.newaxis]
    classes = tf.where(valid, tf.constant([[2, 0, 1, 2], [1, 1, 0, 2]]), -1)
    found = Detections(boxes, tf.zeros([2, 4]), classes, tf.constant(counts), valid)
    spread = []
    for every_slot in (False, True):
        rois = detected_rois(found, every_slot)
        assert len(rois.boxes) == (8 if every_slot else max(sum(counts), 1))
        numbers = tf.cast(rois.classes, tf.float32) + 10 * tf.cast(rois.image_index, tf.float32)
        values = tf.concat([rois.boxes, numbers[:, tf.newaxis] + 1], axis=1)
        spread.append(rois.spread(values[:, tf.newaxis]))
    np.testing.assert_array_equal(*spread)
    assert spread[0].shape == (2, 4, 1, 5) and (spread[0].numpy()[..., 0, 4] > 0).tolist() == valid.numpy().tolist()


@pytest.mark.parametrize("channels", [64, 256])
def test_kernels_start_with_the_spread_of_kaiming_normal(channels):
    """He et al. 2015, fan out, as PyTorch counts it: 4 * in for a transposed convolution with a 2x2 kernel."""
    head = MaskHead(channels, 2, channels, 80, False, initializers=Initializers(3), dtype="float32")
    kernels = {"upsample": (head.upsample.kernel, 4 * channels), "conv": (head.convs[1].kernel, 9 * channels)}
    for name, (kernel, fan) in kernels.items():
        expected, values = np.sqrt(2 / fan), kernel.numpy()
        tolerance = 4 * expected / np.sqrt(2 * values.size)  # four standard errors of the measured standard deviation
        assert abs(values.std() - expected) < tolerance, name
        assert abs(values.mean()) < 4 * expected / np.sqrt(values.size), name
