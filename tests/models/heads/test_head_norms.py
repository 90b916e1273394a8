"""Batch norm in box and mask heads: the statistics are those of the RoIs that are trained on, and of no empty slot."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.heads.mask_head import Filling
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

SETTINGS = (
    "model.box_head.convs=2",
    "model.box_head.conv_channels=16",
    "model.box_head.sample_size=160",  # more than there are candidates
    "model.mask_head.convs=2",
)


def make(norm="sync_batch_norm", detector="mask_rcnn"):
    norms = (f"model.box_head.norm={norm}", f"model.mask_head.norm={norm}")
    return small_detector(*SETTINGS, *norms, detector=detector)


def statistics(layer):
    return np.concatenate([layer.mean, layer.variance])


def steps(model, batch, training=True):
    """The StageStep of each stage."""
    images = model.normalize_images(batch)
    return model.training_outputs(images, batch, keys_in_index_order, training).stages


@pytest.mark.parametrize("norm", ["batch_norm", "sync_batch_norm"])
def test_statistics_are_those_of_real_rois(norm):
    model, batch = make(norm), batch_of(TWO_IMAGES)
    stage = model.roi_heads.stages[0]
    box, mask = stage.box_head.convs[0], stage.masks.head.convs[0]
    pyramid = model.pyramid(model.normalize_images(batch))
    step = steps(model, batch)[0]
    for layer, pooler, chosen in ((box, stage.pooler, step.rois.valid), (mask, stage.masks.pooler, step.rois.positive)):
        assert 0 < np.count_nonzero(chosen) < np.size(chosen)
        pooled = pooler.pool(
            pyramid, tf.boolean_mask(step.rois.rois, chosen), tf.cast(tf.where(chosen)[:, 0], tf.int32)
        )
        features = tf.nn.conv2d(pooled, layer.kernel, 1, "SAME").numpy().astype(np.float64).reshape(-1, 16)
        np.testing.assert_allclose(layer.mean, 0.1 * features.mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.variance, 0.9 + 0.1 * features.var(axis=0, ddof=1), rtol=1e-5)


def test_the_number_of_empty_slots_does_not_matter():
    """Neither in the mask head, which is filled up, nor in the box head, whose slots may be more than RoIs."""
    results = []
    for multiple, slots in ((8, 160), (48, 200)):
        model, batch = make(), batch_of(TWO_IMAGES)
        stage = model.roi_heads.stages[0]
        stage.masks.filling = Filling(multiple)
        stage.sampler = type(stage.sampler)(slots, 40 / slots)  # 40 positives at most in both
        with tf.GradientTape() as tape:
            losses = list(model.compute_losses(batch, keys_in_index_order).values())
            loss = tf.add_n(losses)
        layers = [*stage.box_head.convs, *stage.masks.head.convs]
        gradients = tape.gradient(loss, [layer.kernel for layer in layers])
        results.append([np.array(losses), *gradients, *map(statistics, layers)])
    for one, other in zip(*results):
        assert np.abs(one - other).max() < 1e-4 * np.abs(one).max()


def test_a_cascade_without_objects_trains_its_box_heads_only():
    """Losses and gradients are finite, and the statistics of the mask heads stay."""
    model, batch = make(detector="cascade_mask_rcnn"), batch_of([[], []])
    stages = model.roi_heads.stages
    before = [statistics(layer) for stage in stages for layer in stage.masks.head.convs]
    with tf.GradientTape() as tape:
        loss = tf.add_n(list(model.compute_losses(batch, keys_in_index_order).values()))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert np.isfinite(loss) and all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
    after = [statistics(layer) for stage in stages for layer in stage.masks.head.convs]
    np.testing.assert_array_equal(after, before)
    for stage in stages:  # each has statistics of its own
        assert np.abs(stage.box_head.convs[0].mean).max() > 0
    means = [stage.box_head.convs[0].mean.numpy() for stage in stages]
    assert not np.array_equal(means[0], means[1]) and not np.array_equal(means[1], means[2])
    # A test step uses the stored statistics and leaves them.
    steps(model, batch, training=False)
    np.testing.assert_array_equal(means, [stage.box_head.convs[0].mean for stage in stages])
