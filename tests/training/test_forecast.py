"""The summary of a config is that of the run itself."""

import pytest

from awsdet import config as config_module
from awsdet.data.records.read import read_manifest
from awsdet.models import builder
from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World
from awsdet.training.forecast import new_parts, of_config, of_run
from awsdet.training.inputs import prepare
from awsdet.training.starting import Origin, Parts, begin
from awsdet.training.summary import lines
from awsdet.weights import classes, mmdet
from tests.training.tiny_run import load_config


def test_it_tells_what_the_run_tells(config_file, tmp_path):
    config = load_config(config_file, "train.accumulate_steps=2", "schedule.decay_epochs=1")
    facts, cautions = of_config(config)
    parts = Parts(config, World(), False, None)
    parts.inputs = prepare(config, tmp_path / "run", False, 1)
    parts.detector = builder.build(config, parts.inputs.class_names)
    run, _ = begin(parts, Origin(None))
    assert list(lines(of_run(run, facts.first))) == list(lines(facts))
    assert [label for label, _ in lines(facts)] == [
        *("data", "images", "augmentation", "model", "start", "length", "learning rate", "evaluation", "first losses")
    ]
    manifest, text = parts.inputs.train, dict(lines(facts))
    assert text["data"].startswith(f"6 images of train ({(manifest.num_objects == 0).sum()} have no object), ")
    assert (
        f"{manifest.annotations.objects} objects of {len(manifest.class_names)} classes; 5 images of val"
        in text["data"]
    )
    assert any("the learning rate is 0.04 for 4 images" in line for line in cautions)
    assert not any("the learning rate rises for" in line for line in cautions)
    _, cautions = of_config(load_config(config_file, "train.max_steps=3", "schedule.warmup_steps=4"))
    assert "the run has 3 steps, and the learning rate rises for 4, so it" in cautions[0] + cautions[1]


def test_rules(config_file):
    """What they reach is told; one that reaches nothing that is trained is unusual."""
    rules = "optimizer.rules=*.bias decay=0, backbone.conv1.* rate=0.5"
    frozen = ("model.backbone.frozen_stages=1", "train.allow_random_frozen=true", "optimizer.layer_decay=0.5")
    facts, cautions = of_config(load_config(config_file, rules, *frozen))
    rule, layers = facts.factors
    assert rule.startswith("optimizer.rules: *.bias decay=0 applies to ") and " x 0.5, " in layers
    assert dict(lines(facts))["factors"] == f"{rule}; {layers}"
    (idle,) = [line for line in cautions if "frozen" in line]
    assert idle.startswith("optimizer.rules: backbone.conv1.* rate=0.5 applies to 0 of ")


def test_without_records(tmp_path, monkeypatch):
    monkeypatch.setenv("AWSDET_WEIGHTS", str(tmp_path))  # has none
    narrow = ("backbone.base_width=4", "fpn.channels=8", "rpn.channels=8", "box_head.channels=16")
    config = config_module.load("configs/faster_rcnn_r50_fpn_1x.py", [f"model.{change}" for change in narrow])
    facts, cautions = of_config(config, 8)
    text = dict(lines(facts))
    assert text["data"] == "not known without records; 80 classes" and not cautions
    assert text["start"].startswith("imagenet-r50")
    assert text["length"] == "12 epochs; 16 images per step (8 processes)"
    assert text["learning rate"].endswith("by step 500, then times 0.1 after each of the epochs 8, 11")


def test_from_weights(config_file, finished_run):
    """Those of a run with the same classes: no head is new, so no first loss is expected."""
    facts, _ = of_config(load_config(config_file, f"train.init_from={finished_run[0]}"))
    text = dict(lines(facts))
    assert text["start"] == f"{finished_run[0]}, all layers" and "first losses" not in text


def test_new_parts(config_file):
    config = load_config(config_file)
    detector = builder.build(config, read_manifest(config.data.train_records, "train").class_names)
    layers = {classes.layer(key) for key in mmdet.table(detector)}
    heads = frozenset(layer for layer in layers if not layer.startswith("backbone."))
    assert new_parts(detector, heads) == ["FPN", "RPN", "box head", "mask head"]
    assert new_parts(detector, frozenset(["roi_head.bbox_head.fc_cls"])) == ["roi_head.bbox_head.fc_cls"]
    assert new_parts(detector, frozenset()) == []


def test_what_would_end_the_run(config_file):
    with pytest.raises(UserError, match="has no split test"):
        of_config(load_config(config_file, "data.eval_split=test"))
    with pytest.raises(UserError, match="would keep layers at their random initial values"):
        of_config(load_config(config_file, "model.backbone.norm=frozen_batch_norm", "model.backbone.frozen_stages=1"))
