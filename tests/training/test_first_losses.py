"""The expected first losses, against those of new detectors on real batches."""

import math

import pytest

from awsdet import config as config_module
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.read import read_manifest
from awsdet.models import builder
from awsdet.training.first_losses import first_losses
from tests.training.tiny_run import load_config


@pytest.mark.parametrize("detector", ["cascade_mask_rcnn", "retinanet"])
def test_new_detectors_have_these_losses(config_file, detector):
    config = load_config(config_file, f"model.detector={detector}", "model.fpn.extra_convs=on_input")
    manifest = read_manifest(config.data.train_records, "train")
    made = builder.build(config, manifest.class_names)
    batches = train_dataset(manifest, reader_options(config.data), seed=1, rank=0, world_size=1, epochs=1).dataset
    losses, metrics = made._losses_and_metrics(next(iter(batches)))
    expected = list(first_losses(config.model, made.num_classes))
    assert len(expected) == (4 if detector == "cascade_mask_rcnn" else 1)
    for loss in expected:
        # At 64 x 96 px the levels P3 to P7 have 8 x 12, 4 x 6, 2 x 3, 1 x 2 and 1 x 1 cells of 3 anchors each.
        background = loss.background * 129 * 3 / float(metrics["positives"]) if loss.background else 0.0
        assert float(losses[loss.name]) == pytest.approx(loss.value + background, rel=0.15), loss.name


def test_values_by_hand():
    config = config_module.mask_rcnn()
    assert {loss.name: loss.value for loss in first_losses(config.model, 80)} == pytest.approx(
        {"rpn_class_loss": math.log(2), "class_loss": math.log(81)}
    )
    cascade = config_module.cascade_rcnn()
    cascade.model.rpn.class_loss_weight = 0.0
    assert {loss.name: loss.value for loss in first_losses(cascade.model, 1)} == pytest.approx(
        {f"stage{k}_class_loss": math.log(2) * weight for k, weight in enumerate((1.0, 0.5, 0.25))}
    )
    (focal,) = first_losses(config_module.retinanet().model, 80)
    assert focal.value == pytest.approx(1.1284, abs=1e-3)  # 0.25 * 0.99^2 * ln 100
    assert focal.background == pytest.approx(80 * 0.75e-4 * 0.0100503, rel=1e-4)


def test_heads_that_others_add_are_not_judged():
    model = config_module.faster_rcnn().model
    model.box_head.name = "theirs"
    assert [loss.name for loss in first_losses(model, 3)] == ["rpn_class_loss"]
    model.detector = "theirs"
    assert not list(first_losses(model, 3))
