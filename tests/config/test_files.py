"""The ready configs: each loads and builds a detector, here with few channels."""

import pathlib

import pytest

from awsdet import config as config_lib
from awsdet.models.builder import build
from awsdet.models.retinanet import RetinaNet
from awsdet.models.two_stage import TwoStage
from awsdet.weights import presets
from awsdet.weights.catalogue import ENTRIES
from tests.models.small_detectors import SMALL_SETTINGS

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
MLPERF_PATHS = sorted((FOLDER / "mlperf").glob("mask_rcnn_b*.py"))
PATHS = sorted(FOLDER.glob("*.py")) + MLPERF_PATHS[:1]  # the others build the same detector
NARROW = (
    *SMALL_SETTINGS,
    "model.backbone.branch_width=4",
    "model.backbone.width_per_group=1",
    "model.mask_head.convs=1",
)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_config_builds(path):
    config = config_lib.load(path, NARROW)
    detector = build(config, ["a", "b"])
    assert detector.name == config.model.detector and isinstance(detector, (TwoStage, RetinaNet))
    assert isinstance(detector, RetinaNet) == (config.model.detector == "retinanet")
    assert config.model.detector in path.stem
    assert len(path.read_text().splitlines()) < 40  # by difference from a base
    _check_weights(path, config.train.init_from, detector)


def _check_weights(path, name, detector):
    """A config that freezes layers names weights whose preset is that of the config; the others start from scratch."""
    assert bool(name) == bool(config_lib.frozen_at_random(config_lib.load(path, ["train.init_from="])))
    if name:
        known = (preset for preset in vars(presets).values() if isinstance(preset, presets.Preset))
        preset = next(preset for preset in known if preset.name == ENTRIES[name].preset)
        assert presets.differences(preset, detector) == []


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.stem.startswith("finetune")], ids=lambda path: path.stem
)
def test_fine_tuning_starts_from_a_whole_detector_of_the_same_kind(path):
    config = config_lib.load(path)
    assert config.train.init_from == f"coco-{config.model.detector.replace('_', '-')}-r50-mmdetection"
    assert config.train.max_steps == config.train.epochs == 2000 and config.train.max_evaluations == 8
    family = getattr(config_lib, config.model.detector)()
    assert config.optimizer.learning_rate == family.optimizer.learning_rate / 4
    assert config.model == family.model and config.data == family.data


def test_there_are_configs_for_fine_tuning():
    assert sum(path.stem.startswith("finetune") for path in PATHS) == 3


# What MLPerf's reference has for each batch: rate, warm-up, its rise per update, decays, candidates.
MLPERF = {
    8: (0.01, 500, 2e-5, (144_000, 192_000), 1000),
    48: (0.06, 625, 9.6e-5, (24_000, 32_000), 6000),
    64: (0.08, 800, 1e-4, (18_000, 24_000), 6000),
    96: (0.12, 625, 1.92e-4, (12_000, 16_000), 6000),
    128: (0.16, 625, 2.56e-4, (9_000, 12_000), 6000),
    256: (0.24, 1800, 1.33e-4, (5_625, 7_500), 6000),
    272: (0.24, 1800, 1.33e-4, (5_294, 7_058), 6000),
}


@pytest.mark.parametrize("images", MLPERF)
def test_mlperf_configs_have_the_hyper_parameters_of_the_reference(images):
    config = config_lib.load(FOLDER / f"mlperf/mask_rcnn_b{images}.py")
    schedule, rate = config.schedule, config.optimizer.learning_rate
    rise = rate * (1 - schedule.warmup_ratio) / schedule.warmup_steps
    found = (rate, schedule.warmup_steps, pytest.approx(rise, rel=1e-9), schedule.decay_updates)
    assert (*found, config.model.rpn.post_nms_batch) == MLPERF[images]
    assert config.data.global_batch_size == config.optimizer.base_batch == images and config.data.batch_size == 0
    assert (config.data.short_sides, config.data.max_long_side, config.data.flip_probability) == ((800,), 1333, 0.5)
    assert (config.train.box_ap_target, config.train.mask_ap_target) == (0.377, 0.339)


def test_every_mlperf_config_is_tested():
    assert {path.stem for path in MLPERF_PATHS} == {f"mask_rcnn_b{images}" for images in MLPERF}
