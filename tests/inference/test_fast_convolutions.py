"""The compiled 3x3 convolution in detectors that are only used to find objects."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.ops import conv3x3
from tests.models.small_detectors import TWO_IMAGES, batch_of, keys_in_index_order, small_detector

WIDE = [f"model.{part}.channels=32" for part in ("fpn", "rpn", "mask_head", "retina_head")]


def wide_detector(name):
    thresholds = ("model.box_head.score_threshold=0.0", "model.retina_head.score_threshold=0.0")
    return small_detector(*WIDE, *thresholds, detector=name)


@pytest.mark.parametrize("name", ["mask_rcnn", "retinanet"])
def test_the_same_objects_are_found(name, monkeypatch):
    monkeypatch.setattr(conv3x3, "pays", lambda: True)
    found = {}
    for faster in (True, False):
        detector = wide_detector(name)
        assert not faster or use_fast_convolutions(detector) > 4
        found[faster] = detector.detect(batch_of(TWO_IMAGES, (96, 160)))
        graph = detector._detect_any_size.get_concrete_function().graph
        assert any(op.type == "AwsdetConv3x3" for op in graph.get_operations()) == faster
    assert found[True]["count"].numpy().tolist() == [100, 100]
    np.testing.assert_array_equal(found[True]["classes"], found[False]["classes"])
    for key, tolerance in {"boxes": 0.05, "scores": 1e-4, "masks": 1e-3}.items():
        if key in found[True]:
            np.testing.assert_allclose(found[True][key], found[False][key], atol=tolerance)


def test_training_is_what_it_was(monkeypatch):
    monkeypatch.setattr(conv3x3, "pays", lambda: True)
    plain, faster = wide_detector("mask_rcnn"), wide_detector("mask_rcnn")
    use_fast_convolutions(faster)
    losses = [
        tf.function(lambda d=d: d.compute_losses(batch_of(TWO_IMAGES), keys_in_index_order))() for d in (plain, faster)
    ]
    for name, value in losses[0].items():
        assert value.numpy() == losses[1][name].numpy(), name


def test_nothing_changes_where_it_does_not_pay(monkeypatch):
    monkeypatch.setattr(conv3x3, "pays", lambda: False)
    assert use_fast_convolutions(wide_detector("mask_rcnn")) == 0
