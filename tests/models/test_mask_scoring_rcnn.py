"""Mask Scoring R-CNN: the mask IoU head, its targets and loss, the detector."""

import numpy as np
import tensorflow as tf

from awsdet.models.heads.mask_iou_head import MaskIoUHead, mask_iou_targets, mask_iou_terms
from awsdet.models.layers.initializers import Initializers
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector


def test_target_is_the_iou_with_the_whole_object():
    targets, logits = np.zeros((4, 28, 28), np.float32), np.full((4, 28, 28), -3, np.float32)
    targets[0, :14] = 1  # 392 pixels, which are half of the object
    logits[0, :7] = 0.6  # 196 pixels, all of them right
    targets[1, :14], logits[1, 7:21] = 1, 5  # the whole object lies in the RoI; half of the mask is right
    targets[2, :14], logits[2, :14] = 1, 0.4  # above 0, below the threshold: no mask
    ious = mask_iou_targets(logits, targets, tf.constant([0.5, 1, 1, 0]), 0.5)
    np.testing.assert_allclose(ious, [196 / 784, 196 / 588, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(mask_iou_targets(logits, targets, tf.ones(4), 0.0)[2], 1, rtol=1e-6)


def test_loss_counts_masks_that_meet_their_object():
    terms = mask_iou_terms(tf.constant([0.5, 9.0, 0.0]), tf.constant([0.75, 0.0, 0.5]), 2.0)
    loss, count = terms.losses["mask_iou_loss"]
    assert (float(loss), float(count)) == (2 * (0.25**2 + 0.5**2), 2)
    loss, count = mask_iou_terms(tf.zeros([0]), tf.zeros([0]), 1.0).losses["mask_iou_loss"]
    assert (float(loss), float(count)) == (0, 0)


def test_gradient_reaches_the_head_and_the_masks():
    overrides = ("model.backbone.norm=group_norm", "model.backbone.frozen_stages=-1", "model.box_head.sample_size=16")
    model = small_detector(*overrides, detector="mask_scoring_rcnn")
    data = batch_of(TWO_IMAGES)
    with tf.GradientTape() as tape:
        terms = model.compute_losses(data, keys_in_index_order)
        only = terms["mask_iou_loss"]
    assert set(terms) >= {"mask_loss", "mask_iou_loss"} and only > 0
    gradients = dict(zip((v.name for v in model.trainable_variables), tape.gradient(only, model.trainable_variables)))
    assert np.any(gradients["roi_head.mask_iou_head.fc_mask_iou.kernel:0"])
    assert np.any(gradients["roi_head.mask_head.convs.0.conv.kernel:0"])  # the mask that is fed in is not detached


def test_training_teaches_the_head():
    """With the same RoIs at every step, since what a whole detector learns in few steps depends on rounding."""
    head = MaskIoUHead(8, 14, 3, 4, 16, 2, 32, initializers=Initializers(1), dtype="float32")
    random = np.random.default_rng(0)
    pooled, logits = random.normal(size=(6, 14, 14, 8)), random.normal(size=(6, 28, 28))
    wanted = tf.constant([0.9, 0.1, 0.5, 0.7, 0.3, 0.8])
    optimizer = tf.keras.optimizers.legacy.SGD(0.01, momentum=0.9)
    losses = []
    for _ in range(60):
        with tf.GradientTape() as tape:
            found = head(tf.constant(pooled, tf.float32), tf.constant(logits, tf.float32), tf.constant([0, 1, 2] * 2))
            loss, count = mask_iou_terms(found, wanted, 1.0).losses["mask_iou_loss"]
        losses.append(float(loss / count))
        optimizer.apply_gradients(zip(tape.gradient(loss, head.trainable_variables), head.trainable_variables))
    assert losses[-1] < 0.1 * losses[0]


def test_no_objects_in_a_graph():
    model = small_detector(detector="mask_scoring_rcnn")

    def losses(data):
        with tf.GradientTape() as tape:
            terms = model.compute_losses(data)
            total = tf.add_n(list(terms.values()))
        return terms, tape.gradient(total, model.trainable_variables)

    terms, gradients = tf.function(losses, autograph=False)(batch_of([[], []]))
    assert terms["mask_iou_loss"] == 0 and terms["mask_loss"] == 0
    for variable, gradient in zip(model.trainable_variables, gradients):
        assert gradient is not None and np.isfinite(tf.convert_to_tensor(gradient)).all()
        if "mask" in variable.name:
            assert not np.any(tf.convert_to_tensor(gradient))


def test_detections_carry_iou_scores_in_one_trace():
    model = small_detector(detector="mask_scoring_rcnn")
    for objects, size in ((TWO_IMAGES, (96, 128)), (TWO_IMAGES[:1], (64, 160))):
        found = {name: value.numpy() for name, value in model.detect(batch_of(objects, size)).items()}
        used = found["classes"] >= 0
        assert found["iou_scores"].shape == used.shape and used.any()
        assert np.any(found["iou_scores"][used]) and not found["iou_scores"][~used].any()
        assert found["masks"].min() >= 0 and found["masks"].max() <= 1
    assert model._detect_any_size.experimental_get_tracing_count() == 1
    nothing = small_detector("model.box_head.score_threshold=0.999", detector="mask_scoring_rcnn")
    for found in (
        nothing.detect(batch_of(TWO_IMAGES)),
        nothing._detect(batch_of(TWO_IMAGES)),
    ):  # in a graph, and eagerly
        assert not found["iou_scores"].numpy().any() and not found["masks"].numpy().any()
