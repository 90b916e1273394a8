"""What is said of a run that does not learn, and that one which learns is left alone."""

import numpy as np
import pytest

from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.data.records.read import read_manifest
from awsdet.models import builder
from awsdet.runtime.world import World
from awsdet.training import watch
from awsdet.training.first_losses import FirstLoss
from awsdet.training.inputs import prepare
from awsdet.training.starting import Origin, Parts, begin
from awsdet.training.watch import Expected, Watch, expected_of
from tests.training.tiny_run import load_config, logged_lines

FIRST = [FirstLoss("class_loss", 1.6, "ln 5", "fc_cls")]


def expected(**changes):
    return Expected(**{"first": [], "anchors": 0, "warm_up": 10, "images": 2, **changes})


def constant(value, steps):
    return np.full(steps, value)


@pytest.fixture
def warnings(caplog):
    """A function that returns the warnings of absl so far."""
    caplog.set_level("WARNING", logger="absl")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "absl"]


def judged_by(config_file, tmp_path, *overrides, new_layers=None, begins=True):
    """(config, detector, Expected) of a run of the tiny config."""
    config = load_config(config_file, *overrides)
    parts = Parts(config, World(), False, None)
    parts.inputs = prepare(config, tmp_path / "run", False, 1)
    parts.detector = builder.build(config, parts.inputs.class_names)
    run, _ = begin(parts, Origin(None))
    return config, parts.detector, expected_of(run, new_layers, begins)


def steps_of(config, detector, count):
    """Losses and metrics of the first `count` batches, as the log fetches them."""
    manifest = read_manifest(config.data.train_records, "train")
    batches = train_dataset(manifest, reader_options(config.data), seed=1, rank=0, world_size=1, epochs=9).dataset
    rows = []
    for batch in batches.take(count):
        losses, metrics = detector._losses_and_metrics(batch)
        rows.append({name: float(value) for name, value in {**losses, **metrics}.items()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


# ----------------------------------------------------------------------------------------------------- whole detectors


@pytest.mark.parametrize("std, count", [(58.0, 0), (0.2, 1)])
def test_first_losses_of_a_detector_that_gets_other_pixels(config_file, tmp_path, warnings, std, count):
    """Fixed norms that expect numbers of the size of 1, as pretrained ones do, and get some hundreds of times that."""
    fixed = ("model.backbone.norm=frozen_batch_norm", "train.allow_random_frozen=true", "model.detector=retinanet")
    # Deep, since the numbers grow from block to block; otherwise each block would start as its shortcut.
    fixed += ("model.backbone.depth=50", "model.backbone.norm_affine_trainable=false")
    overrides = (*fixed, f"model.image.std={std},{std},{std}", "model.fpn.extra_convs=on_input")
    config, detector, judge = judged_by(config_file, tmp_path, *overrides)
    before = len(warnings())
    Watch(judge).see(0, steps_of(config, detector, 1))
    said = warnings()[before:]
    assert len(said) == count, said
    assert not count or ("class_loss is " in said[0] and "check that model.image and model.backbone suit" in said[0])


@pytest.mark.parametrize("scale, count", [(4.0, 0), (0.05, 1)])
def test_proposals_of_a_detector_with_other_anchors(config_file, tmp_path, warnings, monkeypatch, scale, count):
    monkeypatch.setattr(watch, "_JUDGED", 6)
    overrides = (f"model.anchors.scales={scale}", "model.box_head.sample_size=32", "schedule.warmup_steps=1")
    overrides += ("model.detector=faster_rcnn", "model.rpn.post_nms_train=50", "model.rpn.pre_nms_train=200")
    config, detector, judge = judged_by(config_file, tmp_path, *overrides)
    assert judge.rois == 32 and judge.objects > 1 and judge.with_objects == 1
    before = len(warnings())
    watched = Watch(judge)
    watched.see(0, steps_of(config, detector, 4))
    said = warnings()[before:]
    assert len(said) == count, said
    assert not count or "of the objects at most have a proposal" in said[0]


def test_a_real_run_is_left_alone(config_file, finished_run, tmp_path, warnings):
    _, _, judge = judged_by(config_file, tmp_path)
    assert [loss.name for loss in judge.first] == ["rpn_class_loss", "class_loss"]
    watched, before = Watch(judge), len(warnings())
    lines = [line for line in logged_lines(finished_run[0]) if "loss" in line]
    for done, line in enumerate(lines):
        watched.see(done, {name: np.array([value]) for name, value in line.items()})
    assert len(lines) == 6 and warnings()[before:] == []


def test_what_is_expected_of_a_run(config_file, tmp_path):
    _, _, judge = judged_by(config_file, tmp_path, "train.accumulate_steps=3", begins=False)
    assert (judge.first, judge.warm_up, judge.accumulate, judge.images) == ([], 6, 3, 2)
    loaded = frozenset(["roi_head.bbox_head.fc_cls"])
    changes = ("data.crop=0.5,0.5", "model.detector=cascade_mask_rcnn", "model.cascade.loss_weights=1,0,1")
    _, _, judge = judged_by(config_file, tmp_path, *changes, new_layers=loaded)
    assert judge.first == [] and judge.objects == 0  # another stage's name; a crop may leave out objects
    assert judge.weightless == ("stage1_box_loss", "stage1_mask_loss")


# ---------------------------------------------------------------------------------------------------------- each rule


@pytest.mark.parametrize("loss, count", [(0.79, 1), (0.81, 0), (1.6, 0), (3.19, 0), (3.21, 1)])
def test_first_loss(warnings, loss, count):
    watched = Watch(expected(first=FIRST))
    watched.see(0, {"class_loss": np.array([loss, 99.0])})  # only the first step counts
    assert len(warnings()) == count
    watched.see(2, {"class_loss": np.array([99.0])})
    assert len(warnings()) == count


def test_first_focal_loss_grows_if_few_anchors_are_positive(warnings):
    judge = expected(first=[FirstLoss("class_loss", 1.13, "prior 0.01", "retina_cls", 6e-5)], anchors=200_000)
    Watch(judge).see(0, {"class_loss": np.array([13.0]), "positives": np.array([1.0])})
    assert not warnings()
    Watch(judge).see(0, {"class_loss": np.array([13.0]), "positives": np.array([100.0])})
    assert "class_loss is 13 at the first step, and a new head should have between 1.13 and 1.25" in warnings()[0]


def test_a_loss_that_never_changes_is_told_once(warnings):
    watched = Watch(expected())
    for done in range(0, 120, 20):
        watched.see(done, {"class_loss": constant(0.69, 20), "accuracy": constant(1.0, 20)})
        assert len(warnings()) == (done >= 40)  # from 50 steps on
    assert "class_loss has been exactly 0.69 for 60 steps" in warnings()[0]


def test_a_loss_that_changes_now_and_then_is_no_fault(warnings):
    watched = Watch(expected())
    for done in range(0, 400, 40):
        watched.see(done, {"class_loss": np.r_[constant(0.69, 39), 0.7], "loss": np.arange(40.0)})
    assert not warnings()
    slow = Watch(expected(accumulate=4))  # weights change every four steps
    slow.see(0, {"class_loss": constant(0.69, 199)})
    assert not warnings()


@pytest.mark.parametrize(
    "name, steps, share, count",
    [
        ("box_loss", 100, 1.0, 1),
        ("stage1_mask_loss", 100, 1.0, 1),
        ("rpn_box_loss", 100, 1.0, 1),
        ("box_loss", 40, 1.0, 0),  # too few steps
        ("box_loss", 200, 0.01, 0),  # of 400 images some 4 have objects
        ("box_loss", 190, None, 0),
        ("box_loss", 200, None, 1),
        ("mask_iou_loss", 500, 1.0, 0),
        ("stage1_box_loss", 500, 1.0, 0),  # has no weight
    ],
)
def test_losses_of_objects_that_are_zero(warnings, name, steps, share, count):
    watched = Watch(expected(with_objects=share, weightless=("stage1_box_loss",)))
    watched.see(0, {name: constant(0.0, steps)})
    assert len(warnings()) == count


def test_proposals_are_judged_once_after_the_warm_up(warnings):
    judge = expected(objects=5.0, rois=512, images=4)
    few, many = 5.0 / 512, 10.0 / 512
    watched = Watch(judge)
    watched.see(0, {"roi_positives": constant(few, 59)})  # 49 of them after the warm-up; 50 are 200 images
    assert not warnings()
    watched.see(59, {"roi_positives": np.array([np.nan, few])})
    assert "0% of the objects at most have a proposal" in warnings()[0]
    good = Watch(judge)
    good.see(0, {"stage0_roi_positives": np.r_[constant(few, 10), constant(many, 50), constant(few, 200)]})
    Watch(expected(rois=512)).see(0, {"roi_positives": constant(few, 500)})  # the number of objects is not known
    assert len(warnings()) == 1


def test_crowded_images_leave_no_place_for_proposals(config_file, tmp_path):
    """If objects alone fill the places of positives, their share says nothing of proposals."""
    _, _, judge = judged_by(config_file, tmp_path, "model.box_head.sample_size=4", "model.detector=faster_rcnn")
    assert judge.objects == 0


def test_an_ap_of_zero(warnings):
    watched = Watch(expected(warm_up=100))
    for step, ap in ((50, 0.0), (100, 0.0), (150, 0.0), (200, 0.01), (250, 0.0), (300, 0.0)):
        watched.evaluated(step, {"box_ap": ap})
        assert not warnings()
    for step in (350, 400):
        watched.evaluated(step, {"box_ap": 0.0})
        assert len(warnings()) == 1
    assert "box AP was exactly 0 in the last 3 evaluations" in warnings()[0]
