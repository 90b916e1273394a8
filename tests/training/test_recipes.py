"""The recipes beyond 1x train: a few steps on small photos of COCO, with narrow networks, as their configs say.

To add a recipe, add it to RECIPES. Only sizes and widths are changed, and what a run of seconds needs.
"""

import json
import math
import os
import pathlib
import re
from typing import NamedTuple

import pytest

from awsdet import config as config_lib
from awsdet.data.records.convert import convert
from awsdet.training.loop import train
from tests.training.tiny_run import logged_lines

ROOT = pathlib.Path(__file__).parents[2]
COCO_TINY = ROOT.parent / "shared/data/coco_tiny"
IMAGES, BATCH = 8, 4
PER_EPOCH = IMAGES // BATCH
SMALL = (
    *("data.max_long_side=160", "data.eval_short_side=96", f"data.batch_size={BATCH}", "data.reader_threads=1"),
    "data.flip_probability=0",
    *("model.backbone.depth=14", "model.backbone.base_width=8", "model.backbone.frozen_stages=-1"),
    "model.backbone.norm=batch_norm",
    *("model.fpn.channels=16", "model.rpn.channels=16", "model.rpn.pre_nms_train=100", "model.rpn.post_nms_train=60"),
    *("model.box_head.channels=32", "model.box_head.sample_size=64", "model.box_head.finest_scale=14"),
    *("model.mask_head.channels=8", "model.mask_head.convs=1"),
    *("model.retina_head.channels=16", "model.retina_head.convs=1"),
    *(f"optimizer.base_batch={BATCH}", "optimizer.clip_norm=10", "schedule.warmup_steps=2", "train.init_from=scratch"),
    *("train.evaluate_every_epochs=0", "train.pictures=0", "train.tensorboard=false", "train.log_every_steps=1"),
)
FIXED_SIDE, SIDES = "data.short_sides=96", "data.short_side_range=80,96"


class Recipe(NamedTuple):
    """A recipe of configs/.

    Attributes:
        name: of its config. overrides: what makes it small, besides SMALL. steps: how many.
        said: regular expressions, each of which a line of the log must match.
        rates: step -> the learning rate at the end of it, as a share of the peak.
    """

    name: str
    overrides: tuple = ()
    steps: int = 20
    said: tuple = ()
    rates: dict = {}  # noqa: RUF012 -- not changed


# AdamW moves each weight by the rate at most. Its rate is raised, so that 20 steps of a network without trained weights
# show.
_ADAMW = (FIXED_SIDE, "optimizer.learning_rate=0.002")
_NORMS = (r"rules: \*\.gamma decay=0 applies to [1-9]\d* of", r"rules: \*\.beta decay=0 applies to [1-9]\d* of")
_1X = {8 * PER_EPOCH - 1: 1, 8 * PER_EPOCH: 0.1}  # epochs 8 and, beyond these steps, 11
_3X = {27 * PER_EPOCH - 1: 1, 27 * PER_EPOCH: 0.1, 33 * PER_EPOCH: 0.01}
# Less jitter: with all of it, 20 steps show no progress.
_JITTER = (
    *("data.canvas=96", "data.jitter_scales=0.8,1.0", "model.precision=float32", "optimizer.learning_rate=0.02"),
    *("model.backbone.norm=sync_batch_norm", "model.box_head.convs=1", "model.box_head.conv_channels=16"),
)
RECIPES = (
    Recipe("mask_rcnn_r50_fpn_rsb_adamw_1x", _ADAMW, said=_NORMS, rates=_1X),
    Recipe("retinanet_r50_fpn_rsb_adamw_1x", _ADAMW, said=_NORMS, rates=_1X),
    Recipe("faster_rcnn_r50_fpn_ms_3x", (SIDES,), steps=36 * PER_EPOCH, rates=_3X),
    Recipe("mask_rcnn_r50_fpn_lsj_100ep", _JITTER, said=_NORMS),
    Recipe("mask_rcnn_r50_fpn_lsj_copypaste_100ep", _JITTER, said=_NORMS),
)
# They differ from those above in numbers, or combine what is there. With AWSDET_TEST_RECIPES=all they are trained too.
MORE = (
    Recipe("faster_rcnn_r50_fpn_rsb_adamw_1x", _ADAMW, said=_NORMS, rates=_1X),
    Recipe("cascade_mask_rcnn_r50_fpn_rsb_adamw_1x", _ADAMW, said=_NORMS, rates=_1X),
    Recipe("cascade_mask_rcnn_r50_fpn_ms_3x", (SIDES,)),
    Recipe("mask_rcnn_r50_fpn_ms_2x", (SIDES,)),
    Recipe("mask_rcnn_r50_fpn_ms_3x", (SIDES,)),
    Recipe("faster_rcnn_r50_fpn_ms_2x", (SIDES,)),
    Recipe("retinanet_r50_fpn_ms_2x", (SIDES,)),
    Recipe("retinanet_r50_fpn_ms_3x", (SIDES,)),
    Recipe("mask_rcnn_r50_fpn_lsj_200ep", _JITTER, said=_NORMS),
    Recipe("mask_rcnn_r50_fpn_lsj_400ep", _JITTER, said=_NORMS),
    Recipe("faster_rcnn_r50_fpn_lsj_100ep", _JITTER, said=_NORMS),
    Recipe("cascade_mask_rcnn_r50_fpn_lsj_100ep", _JITTER, said=_NORMS),
)
if os.environ.get("AWSDET_TEST_RECIPES") == "all":
    RECIPES += MORE


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Folder of the records of the first photos of coco_tiny."""
    if not COCO_TINY.is_dir():
        pytest.skip("needs ../shared/data/coco_tiny")
    folder = tmp_path_factory.mktemp("photos")
    content = json.loads((COCO_TINY / "annotations/instances_train2017.json").read_text())
    content["images"] = sorted(content["images"], key=lambda image: image["id"])[:IMAGES]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in kept]
    (folder / "instances.json").write_text(json.dumps(content))
    convert(folder / "instances.json", COCO_TINY / "train2017", folder / "records", "train", shards=1, workers=1)
    return folder / "records"


def test_no_recipe_is_forgotten():
    found = {path.stem for pattern in ("rsb", "ms", "lsj") for path in (ROOT / "configs").glob(f"*_{pattern}_*.py")}
    assert found == {recipe.name for recipe in (*RECIPES, *MORE)}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_trains(recipe, records, tmp_path, log):
    small = (*SMALL, *recipe.overrides, f"train.max_steps={recipe.steps}")
    wanted = (f"data.train_records={records}", "data.eval_split=train")
    config = config_lib.load(ROOT / f"configs/{recipe.name}.py", (*small, *wanted))
    assert train(config, tmp_path / "run").exit_code == 0
    lines = [line for line in logged_lines(tmp_path / "run") if "loss" in line]
    losses = [line["loss"] for line in lines]
    assert [line["step"] for line in lines] == list(range(1, recipe.steps + 1)) and all(map(math.isfinite, losses))
    last = losses[-2 * PER_EPOCH :]
    assert sum(last) / len(last) < 0.9 * sum(losses[:PER_EPOCH]) / PER_EPOCH
    for words in recipe.said:
        assert re.search(words, log.text), words
    rates = {line["step"]: line["learning_rate"] / config.optimizer.learning_rate for line in lines}
    assert {step: rates[step] for step in recipe.rates} == pytest.approx(recipe.rates)
