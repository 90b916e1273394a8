"""README.md, "Your own data": its commands are accepted as they stand, and the recipe for a CPU runs as a whole."""

import json
import pathlib
import re
import shlex

import pytest
from absl import flags

from awsdet import config as config_module
from awsdet.cli import arguments, main
from awsdet.data.reader import plan
from awsdet.inference import checkpoint
from awsdet.models.builder import build
from awsdet.training.checkpoint import Checkpoints
from awsdet.training.optimizer import SGD
from awsdet.weights import load
from awsdet.weights.catalogue import ENTRIES
from tests.training.tiny_run import logged_lines

ROOT = pathlib.Path(__file__).parents[1]
SECTION = (ROOT / "README.md").read_text().partition("## Your own data\n")[2].partition("\n## ")[0]
REAL, DRAWN = (
    [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    for block in re.findall(r"```\n(.*?)```", SECTION, re.DOTALL)
)


def _flags_of(name):
    values = flags.FlagValues()
    main.importlib.import_module(f"awsdet.cli.{name}").define(values)
    return values


if "draw" not in _flags_of("inspect"):  # this part of it is made elsewhere
    for commands in (REAL, DRAWN):
        commands[:] = [[a for a in c if c[1] != "inspect" or not a.startswith("--draw=")] for c in commands]
NARROW = [  # and of few operations, since most of the time goes into making graphs
    *("model.detector=retinanet", "model.fpn.extra_convs=on_input", "model.retina_head.convs=1"),
    *("model.retina_head.channels=8", "model.fpn.channels=8", "model.backbone.base_width=4", "model.backbone.depth=14"),
    *("data.short_sides=64", "data.eval_short_side=64", "optimizer.name=sgd", "optimizer.learning_rate=0.001"),
    *("data.batch_size=2", "data.eval_batch_size=1", "train.pictures=0"),
]
# What is added to a command so that it takes seconds.
TINY = {
    "shapes": ["--images=20", "--image-size=96"],
    "convert": ["--workers=1"],
    # 15 or so images to train on: 18 steps are three epochs, of which the second and the last are evaluated.
    "train": [f"--config.{change}" for change in (*NARROW, "train.max_steps=18", "train.max_evaluations=2")],
}


def parsed(command):
    """(flags, overrides) of an awsdet command, as its module takes them."""
    program, name, *rest = command
    assert program == "awsdet"
    module, values = main.importlib.import_module(f"awsdet.cli.{name}"), _flags_of(name)
    return values, arguments.parse(name, values, rest, getattr(module, "POSITIONAL", ()))


@pytest.mark.parametrize("command", [*REAL, *DRAWN[1:]], ids=lambda command: f"{command[1]} {command[-1][:20]}")
def test_command_is_accepted(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    values, overrides = parsed(command)
    if command[1] == "train":
        config = config_module.load(values.config, overrides)
        assert config.data.train_records and config.train.init_from
    if command[1] == "weights" and values.get:
        assert values.get in ENTRIES


def test_the_commands_fit_together():
    """Each command reads what one before it wrote, and the config of the first recipe takes the weights it fetches."""
    for commands in (REAL, DRAWN[1:]):
        made = {}
        for command in commands:
            values, overrides = parsed(command)
            made[command[1]] = values, dict(override.split("=", 1) for override in overrides)
        (convert, _), (inspect, _), (train, settings) = (made[name] for name in ("convert", "inspect", "train"))
        assert convert.output == inspect.records == settings["data.train_records"] and convert.holdout
        assert made["predict"][0].checkpoint == made["weights"][0].input == train.output
    assert DRAWN[0] == ["make", "train"] and "RUN := runs/shapes" in (ROOT / "Makefile").read_text()
    fetched = parsed(REAL[0])[0].get
    assert config_module.load(ROOT / "configs/finetune_mask_rcnn_r50_fpn.py").train.init_from == fetched


def made_train():
    """What `make train` would leave, without its training: a run of the four shapes."""
    config = config_module.load("configs/shapes_mask_rcnn.py", NARROW)
    names = ["circle", "rectangle", "triangle", "star"]
    info = {"config": json.loads(config_module.to_json(config)), "class_names": names, "category_ids": [2, 3, 7, 11]}
    Checkpoints(pathlib.Path("runs/shapes/checkpoints")).save(
        build(config, names), SGD(), {**info, "step": 0, "epoch": 0}
    )


def test_the_recipe_for_a_cpu(tmp_path, monkeypatch, capsys):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    made_train()
    said, planned, train_epoch = {}, [], plan.train_epoch
    monkeypatch.setattr(plan, "train_epoch", lambda *args: planned.append(args[4]) or train_epoch(*args))
    for _, name, *rest in DRAWN[1:]:
        code = main.main([name, *rest, *TINY.get(name, [])])
        said[name] = capsys.readouterr()
        assert code == (1 if name == "predict" else 0), said[name].err[-2000:]
    assert "image file missing" in said["convert"].out and "held out: " in said["convert"].out
    assert "kept on one side: 1 image(s)" in said["convert"].out
    assert "1 of 20 images could not be read" in said["predict"].err  # one of the oddities
    run = pathlib.Path("runs/photos")
    evaluated = [line["step"] for line in logged_lines(run) if "box_ap" in line]
    per_epoch = checkpoint.read_info(run / "checkpoints" / "step-00000018")["steps_per_epoch"]
    assert per_epoch < 9
    assert evaluated == [-(-9 // per_epoch) * per_epoch, 18], (
        "at the end of the epoch with half of the run, and at the end"
    )
    assert planned == list(range(-(-18 // per_epoch))), "no epoch is planned that max_steps does not reach"
    kept = {path.name for path in (run / "checkpoints").glob("step-*")}
    assert kept == {f"step-{step:08d}" for step in evaluated}
    assert any((run / "pictures").rglob("*.jpg"))
    assert len(json.loads((run / "predictions.json").read_text())["images"]) == 19
    exported = load.read("runs/photos.safetensors")
    assert exported.class_names == ("ball", "crate", "leaf", "star", "coin")
