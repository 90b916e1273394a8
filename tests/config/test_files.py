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

PATHS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
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
