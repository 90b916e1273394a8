"""Cascade R-CNN: its stages, their sampling, its detections."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.detection.boxes import BoxCoder
from awsdet.detection.matching import ground_truth
from awsdet.models.heads.box_head import BoxOutput, Candidates, refine, sample_rois
from awsdet.models.heads.rpn import Proposals
from awsdet.runtime.errors import UserError
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

TERMS = {f"stage{k}_{term}" for k in range(3) for term in ("class_loss", "box_loss")}


@pytest.fixture(scope="module")
def model():
    return small_detector(detector="cascade_mask_rcnn")


def test_fit_learns_one_batch():
    overrides = ("model.backbone.norm=group_norm", "model.backbone.frozen_stages=-1", "model.box_head.sample_size=16")
    model = small_detector(*overrides, detector="cascade_rcnn")
    model.compile(tf.keras.optimizers.legacy.SGD(0.02, momentum=0.9), clip_norm=10.0)
    data = batch_of(TWO_IMAGES[:1])
    before = float(tf.add_n(list(model.compute_losses(data).values())))
    model.fit(tf.data.Dataset.from_tensors(data).repeat(20), verbose=0)
    assert float(tf.add_n(list(model.compute_losses(data).values()))) < 0.7 * before


def test_every_stage_has_its_heads_losses_rule_and_weight(model):
    terms = model.compute_losses(batch_of(TWO_IMAGES), keys_in_index_order)
    assert set(terms) == TERMS | {"rpn_class_loss", "rpn_box_loss"} | {f"stage{k}_mask_loss" for k in range(3)}
    names = {v.name for v in model.trainable_variables}
    for k in range(3):
        assert f"roi_head.bbox_head.{k}.fc_cls.kernel:0" in names
        assert f"roi_head.mask_head.{k}.conv_logits.kernel:0" in names
    stages = model.roi_heads.stages
    assert [stage.matcher.positive_iou for stage in stages] == [0.5, 0.6, 0.7] and stages[2].coder.stds[0] == 0.033
    changed = small_detector("model.cascade.loss_weights=1.0,0.0,0.5", detector="cascade_mask_rcnn")
    changed = changed.compute_losses(batch_of(TWO_IMAGES), keys_in_index_order)
    assert changed["stage1_class_loss"] == 0 and changed["stage1_mask_loss"] == 0
    np.testing.assert_allclose(changed["stage2_class_loss"], 2 * terms["stage2_class_loss"], rtol=1e-6)


def test_stages_that_do_not_agree_are_named():
    with pytest.raises(UserError, match=r"model.cascade.ious, box_stds, loss_weights have \[2, 3, 3\] entries"):
        small_detector("model.cascade.ious=0.5,0.6", detector="cascade_rcnn")


def test_later_stages_sample_from_what_the_one_before_refined(model):
    data = batch_of(TWO_IMAGES)
    steps = model.training_outputs(model.normalize_images(data), data, keys_in_index_order).stages
    for stage, before, after in zip(model.roi_heads.stages, steps, steps[1:]):
        rois = before.rois
        refined = refine(before.boxes, rois.rois, rois.labels, data["image_size"], stage.coder).numpy()
        for image in range(2):
            candidates = refined[image][rois.valid[image] & ~rois.is_object[image]]
            sampled = after.rois
            own = sampled.is_object[image].numpy()
            assert own.sum() == len(TWO_IMAGES[image])  # the objects themselves are there, once
            drawn = sampled.rois[image].numpy()[sampled.valid[image] & ~own]
            distance = np.abs(drawn[:, None] - candidates[None]).max(axis=2)
            assert len(drawn) and distance.min(axis=1).max() < 1e-4


def test_objects_among_the_samples_are_marked():
    data, stage = batch_of(TWO_IMAGES[:1]), small_detector(detector="cascade_rcnn").roi_heads.stages[0]
    boxes = tf.constant([[[12.0, 12, 58, 69], [0, 0, 5, 5], [9, 9, 9, 9]]])
    candidates = Candidates(boxes, tf.constant([[True, True, False]]))
    rules = stage.matcher, stage.sampler, stage.coder
    rois = sample_rois(candidates, ground_truth(data), keys_in_index_order("", [1, 5]), 3, *rules)
    assert rois.is_object[0].numpy().tolist()[:4] == [True, True, False, False]
    assert rois.positive[0].numpy().tolist()[:4] == [True, True, True, False]
    assert int(tf.reduce_sum(tf.cast(rois.valid, tf.int32))) == 4 and not rois.is_object[0, 4:].numpy().any()


@pytest.mark.parametrize("agnostic", [True, False])
def test_refined_boxes_are_those_of_the_label_or_of_the_best_class(agnostic):
    coder = BoxCoder((0.1, 0.1, 0.2, 0.2))
    logits = tf.constant([[0.0, 5, 1, 9], [4, 0, 1, 9]])
    deltas = tf.random.stateless_normal([2, 1 if agnostic else 3, 4], [1, 2])
    rois = tf.constant([[[10.0, 10, 40, 50], [20, 30, 60, 70]]])
    refined = refine(BoxOutput(logits, deltas), rois, tf.constant([[2, 3]]), tf.constant([[60, 128]]), coder)
    chosen = [0, 0] if agnostic else [2, 0]
    for index in range(2):
        expected = coder.decode(deltas[index, chosen[index]], rois[0, index]).numpy()
        np.testing.assert_allclose(refined[0, index], np.clip(expected, 0, [128, 60, 128, 60]), rtol=1e-6)


def test_scores_are_of_the_mean_logits_and_boxes_of_the_last_stage(model):
    data = batch_of(TWO_IMAGES)
    pyramid, size = model.pyramid(model.normalize_images(data)), data["image_size"]
    boxes = tf.constant([[[10.0, 10, 60, 70], [40, 30, 120, 90]], [[5, 8, 50, 40], [0, 0, 90, 90]]])
    given = Proposals(boxes, tf.ones([2, 2]), tf.constant([2, 2]), tf.ones([2, 2], tf.bool))
    proposals, output = model.roi_heads.classify(pyramid, given, size)
    logits = []
    for k, stage in enumerate(model.roi_heads.stages):
        last = stage.classify(pyramid, boxes)
        logits.append(last.logits.numpy())
        if k < 2:
            boxes = refine(last, boxes, tf.fill([2, 2], 3), size, stage.coder)
    np.testing.assert_allclose(output.logits, np.mean(logits, axis=0), atol=1e-5)
    np.testing.assert_allclose(output.deltas, last.deltas, atol=1e-5)
    np.testing.assert_allclose(proposals.boxes, boxes, atol=1e-4)


def test_no_objects_finite_losses_and_every_gradient(model):
    def losses(data):
        with tf.GradientTape() as tape:
            terms = model.compute_losses(data)
            total = tf.add_n(list(terms.values()))
        return terms, tape.gradient(total, model.trainable_variables)

    terms, gradients = tf.function(losses, autograph=False)(batch_of([[], []]))
    assert all(np.isfinite(value) for value in terms.values())
    assert all(terms[f"stage{k}_mask_loss"] == 0 and terms[f"stage{k}_box_loss"] == 0 for k in range(3))
    assert all(g is not None and np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients)
    masks = [g for v, g in zip(model.trainable_variables, gradients) if ".mask_head." in v.name]
    assert masks and not any(np.any(tf.convert_to_tensor(g)) for g in masks)


def test_one_trace_finds_objects_in_any_batch_and_nothing_is_no_error(model):
    for objects, size in ((TWO_IMAGES, (96, 128)), (TWO_IMAGES[:1], (64, 160))):
        found = model.detect(batch_of(objects, size))
        assert found["masks"].shape == [len(objects), 100, 28, 28]
    assert model._detect_any_size.experimental_get_tracing_count() == 1
    nothing = small_detector("model.box_head.score_threshold=0.999", detector="cascade_mask_rcnn")
    assert not nothing.detect(batch_of(TWO_IMAGES))["count"].numpy().any()
    assert "masks" not in small_detector(detector="cascade_rcnn")._detect(batch_of(TWO_IMAGES))
