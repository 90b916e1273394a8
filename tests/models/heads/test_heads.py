"""Heads other than the default: convolutions, group norm, one box for all classes, GIoU, Soft-NMS."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.models.heads.conv_box_head import ConvBoxHead
from awsdet.models.layers.initializers import Initializers
from awsdet.runtime.errors import UserError
from awsdet.weights import mmdet
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_detector

RANDOM = np.random.default_rng(6)


def test_conv_box_head_equals_keras():
    head = ConvBoxHead(8, 5, 2, 32, "group_norm", 16, 3, False, initializers=Initializers(1), dtype="float32")
    for variable in head.variables:
        variable.assign(RANDOM.normal(0, 0.3, variable.shape))
    pooled = tf.constant(RANDOM.normal(size=(6, 5, 5, 8)), tf.float32)
    hidden = pooled
    for conv in head.convs:
        norm = tf.keras.layers.GroupNormalization(groups=32, epsilon=1e-5)
        norm.build([None, None, None, 32])
        norm.gamma.assign(conv.gamma)
        norm.beta.assign(conv.beta)
        hidden = tf.nn.relu(norm(tf.nn.conv2d(hidden, conv.kernel, 1, "SAME")))
    hidden = tf.nn.relu(tf.reshape(hidden, [6, -1]) @ head.fc.kernel + head.fc.bias)
    output = head(pooled)
    np.testing.assert_allclose(output.logits, hidden @ head.logits.kernel + head.logits.bias, rtol=1e-3, atol=1e-3)
    deltas = tf.reshape(hidden @ head.deltas.kernel + head.deltas.bias, [6, 3, 4])
    np.testing.assert_allclose(output.deltas, deltas, rtol=1e-3, atol=1e-3)


ALL_OTHER = (
    "model.fpn.norm=group_norm",
    "model.box_head.convs=4",
    "model.box_head.conv_channels=32",
    "model.box_head.norm=group_norm",
    "model.box_head.class_agnostic=true",
    "model.box_head.box_loss=giou",
    "model.box_head.nms_method=gaussian",
    "model.box_head.score_threshold=0.0",
    "model.rpn.box_loss=giou",
    "model.mask_head.norm=group_norm",
    "model.mask_head.class_agnostic=true",
)


def test_every_other_choice_trains_in_one_trace_and_detects():
    model = small_detector(*ALL_OTHER)
    model.compile(tf.keras.optimizers.legacy.SGD(0.01, momentum=0.9), clip_norm=10.0)
    traces, normalized = [], model.normalized
    model.normalized = lambda losses: traces.append(1) or normalized(losses)
    for variable in model.backbone.trainable_variables:
        if variable.name.endswith(".conv3.gamma:0"):  # from 0, the rest of a block would hardly move in three steps
            variable.assign(tf.ones_like(variable))
    before = {variable.name: variable.numpy() for variable in model.trainable_variables}
    images = [batch_of(TWO_IMAGES), batch_of([[]], (96, 96)), batch_of(TWO_IMAGES, (96, 160))]
    dataset = tf.data.Dataset.from_tensors(images[0])
    for more in images[1:]:
        dataset = dataset.concatenate(tf.data.Dataset.from_tensors(more))
    history = model.fit(dataset, verbose=0).history  # a variable that no loss depends on would be an error
    assert len(traces) == 1 and np.isfinite(history["loss"]).all()
    still = [v.name for v in model.trainable_variables if np.array_equal(v, before[v.name])]
    assert not still
    found = model.detect(batch_of(TWO_IMAGES))
    count = int(found["count"][0])
    assert count > 0 and np.all(np.diff(found["scores"][0, :count]) <= 0) and found["masks"].shape == (2, 100, 28, 28)


def test_the_names_are_those_of_the_reference():
    """Shared4Conv1FCBBoxHead and FCNMaskHead with norm_cfg=dict(type="GN")."""
    names = set(mmdet.table(small_detector(*ALL_OTHER)))
    for path in ("roi_head.bbox_head.shared_convs.3", "roi_head.mask_head.convs.0", "neck.fpn_convs.2"):
        assert {f"{path}.conv.weight", f"{path}.gn.weight", f"{path}.gn.bias"} <= names
        assert f"{path}.conv.bias" not in names
    assert "roi_head.bbox_head.shared_fcs.0.weight" in names
    assert "roi_head.bbox_head.shared_fcs.1.weight" not in names


@pytest.mark.parametrize("detector", ["faster_rcnn", "mask_rcnn"])
def test_one_box_for_all_classes(detector):
    model = small_detector(
        "model.box_head.class_agnostic=true", "model.box_head.score_threshold=0.0", detector=detector
    )
    deltas = model.roi_heads.stages[0].box_head.deltas
    assert deltas.bias.shape == 4
    data = batch_of(TWO_IMAGES)
    with tf.GradientTape() as tape:
        terms = model.compute_losses(data)
        total = tf.add_n(list(terms.values()))
    assert float(terms["box_loss"]) > 0
    assert np.any(tape.gradient(total, deltas.kernel) != 0)
    found = model.detect(data)
    # A RoI's box is the same for each of its classes, so with three classes boxes come more than once.
    boxes = {tuple(box) for box in found["boxes"][0, : int(found["count"][0])].numpy()}
    assert int(found["count"][0]) > len(boxes) > 0


def test_choices_that_are_none_are_named():
    with pytest.raises(
        UserError, match="box_head.norm is 'layer_norm'; it must be one of none, batch_norm, sync_batch"
    ):
        small_detector("model.box_head.norm=layer_norm")
    with pytest.raises(UserError, match="model.box_head.nms_method is 'soft'; it must be one of hard, linear, gauss"):
        small_detector("model.box_head.nms_method=soft")
    with pytest.raises(UserError, match="model.retina_head.box_loss is 'iou'; it must be one of l1, smooth_l1, giou"):
        small_detector("model.retina_head.box_loss=iou")
