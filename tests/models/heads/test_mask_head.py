"""The mask head's initial weights, and the positives that are its input."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.heads.box_head import RoISample
from awsdet.models.heads.mask_head import MaskHead, positive_rois
from awsdet.models.layers.initializers import Initializers


@pytest.mark.parametrize(("counts", "filled"), [((0, 0), 8), ((0, 1), 8), ((5, 3), 8), ((4, 5), 16), ((10, 10), 24)])
def test_positives_come_first_and_are_filled_up_to_a_multiple_of_eight(counts, filled):
    random = np.random.default_rng(0)
    rois = tf.constant(random.uniform(1, 99, (2, 10, 4)), tf.float32)
    positive = tf.sequence_mask(counts, 10)
    truth, labels = (tf.constant(random.integers(1, 9, (2, 10)), tf.int32) for _ in range(2))
    found = positive_rois(RoISample(rois, positive, tf.ones([2, 10], tf.bool), truth, labels, rois, ~positive))
    total = sum(counts)
    assert int(found.count) == total
    expected = (rois[positive], tf.cast(tf.where(positive)[:, 0], tf.int32), truth[positive], labels[positive])
    for ours, real in zip(found, expected):
        assert ours.shape[0] == filled
        np.testing.assert_array_equal(ours[:total], real)
        assert not np.any(ours[total:])


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
