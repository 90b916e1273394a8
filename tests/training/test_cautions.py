"""What is unusual before a run, and that usual runs are not."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from awsdet import config as config_module
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest
from awsdet.training.cautions import cautions, short_run

CONFIGS = sorted(pathlib.Path("configs").glob("*.py"))


@pytest.mark.parametrize("images", [1, 2, 16, 512])
def test_no_recipe_is_unusual(images):
    """Except where few processes have a norm that is meant for many."""
    assert len(CONFIGS) > 20
    for path in CONFIGS:
        config = config_module.load(str(path), [])
        said = list(cautions(config, None, ["one"], images))
        few = images < 4 and config.model.backbone.norm == "sync_batch_norm"
        assert len(said) == few and all("sync_batch_norm (model.backbone.norm, " in line for line in said), path


@pytest.mark.parametrize(
    "changes, images, words",
    [
        (("optimizer.scale_learning_rate=false",), 2, "0.02 for 2 images per update, 8 times what the linear rule"),
        (("optimizer.learning_rate=0.2",), 8, "0.1 for 8 images per update, 10 times what the linear rule gives"),
        (("optimizer.learning_rate=0.0001",), 16, "1/200 of what the linear rule gives (0.02 for 16 images, so 0.02)"),
        # SGD's rate, left in place; and one for 64 images in an update of 16.
        (
            ("optimizer.name=adamw",),
            16,
            "100 times what the linear rule gives with adamw (0.0002 for 16 images, so 0.0002)",
        ),
        (
            ("optimizer.name=adamw", "optimizer.scale_learning_rate=false", "optimizer.learning_rate=0.0025"),
            16,
            "12.5 times what the linear rule gives with adamw",
        ),
    ],
)
def test_rates(changes, images, words):
    config = config_module.load("configs/mask_rcnn_r50_fpn_1x.py", changes)
    (line,) = cautions(config, None, ["one"], images)
    assert words in line and "--config.optimizer.base_batch=16" in line
    config.optimizer.name = "lamb"  # there is no rate that suits it always
    assert not list(cautions(config, None, ["one"], images))


@pytest.mark.parametrize("rate, most", [(1e-5, 0), (2e-4, 0), (1e-3, 0), (1.1e-3, 1)])
def test_rates_of_adamw_that_recipes_have(rate, most):
    """RetinaNet's is half of the others'."""
    changes = ("optimizer.name=adamw", f"optimizer.learning_rate={rate}")
    config = config_module.load("configs/retinanet_r50_fpn_1x.py", changes)
    assert len(list(cautions(config, None, ["one"], 16))) == most


@pytest.mark.parametrize(
    "changes, images, words",
    [
        (
            ("model.backbone.norm=batch_norm",),
            32,
            "batch_norm (model.backbone.norm) has the statistics of 2 images per",
        ),
        (
            ("model.fpn.norm=batch_norm", "data.batch_size=1"),
            32,
            "batch_norm (model.fpn.norm) has the statistics of 1 im",
        ),
        (("model.fpn.norm=sync_batch_norm", "train.accumulate_steps=4"), 12, "of 3 images per step, too few to learn"),
        (
            ("model.mask_head.norm=sync_batch_norm",),
            2,
            "sync_batch_norm (model.mask_head.norm) has the statistics of 2",
        ),
        (("model.fpn.norm=sync_batch_norm",), 4, ""),
        (("model.fpn.norm=batch_norm", "data.batch_size=4"), 4, ""),
        (("model.box_head.norm=batch_norm",), 2, ""),  # it has no convolutions
        (("model.mask_head.norm=batch_norm", "model.detector=faster_rcnn"), 2, ""),
        (("model.fpn.norm=group_norm",), 1, ""),
    ],
)
def test_batch_norm_of_few_images(changes, images, words):
    said = list(cautions(config_module.load("configs/mask_rcnn_r50_fpn_1x.py", changes), None, ["one"], images))
    assert len(said) == bool(words) and all(words in line for line in said)


@pytest.mark.parametrize("warm_up, total, words", [(500, 501, ""), (500, 500, "has 500 steps"), (50, 1, "has 1 step,")])
def test_a_run_that_ends_within_its_warm_up(warm_up, total, words):
    said = list(short_run(warm_up, total))
    assert len(said) == bool(words) and all(words in line and "warmup_steps" in line for line in said)


def test_a_quarter_of_the_usual_rate_is_usual():
    config = config_module.load("configs/mask_rcnn_r50_fpn_1x.py", ["optimizer.learning_rate=0.005"])
    assert not list(cautions(config, None, ["one"], 2))


def test_records(training_folder, tmp_path):
    """A file in which eight more classes have no object, most annotations are crowds, and most images are empty."""
    shutil.copytree(training_folder / "images" / "train", tmp_path / "images")
    coco = json.loads((training_folder / "annotations" / "instances_train.json").read_text())
    coco["categories"] += [{"id": 50 + i, "name": f"absent{i}"} for i in range(8)]
    seen = {annotation["category_id"] for annotation in coco["annotations"]}
    named = [one["name"] for one in coco["categories"] if one["id"] not in seen]
    for annotation in coco["annotations"][3:]:
        annotation["iscrowd"] = 1
    (tmp_path / "train.json").write_text(json.dumps(coco))
    manifest = convert(tmp_path / "train.json", tmp_path / "images", tmp_path / "records", "train", shards=2, workers=1)
    manifest = read_manifest(manifest.directory, "train")
    names, config = manifest.class_names, config_module.mask_rcnn()
    absent, crowds = cautions(config, manifest, names, 16)
    kept = {annotation["category_id"] for annotation in coco["annotations"][:3]}
    count = len(names) - len(kept)
    assert set(named) <= {one for number, one in enumerate(names) if number not in manifest.classes_with_objects}
    assert absent.startswith(f"{count} of the {len(names)} classes have no object in train") and "and " in absent
    assert absent.count(",") == 1 + 4 and f"and {count - 5} more" in absent
    assert f"only 3 of the {len(coco['annotations'])} annotations of train are objects to train on" in crowds

    boxes = np.zeros(1000, np.int32)
    boxes[:3] = 1
    assert (
        "997 of the 1,000 images"
        in list(cautions(config, manifest._replace(num_objects=boxes, image_id=boxes), names, 16))[1]
    )
    config.data.keep_empty = False
    assert len(list(cautions(config, manifest._replace(num_objects=boxes, image_id=boxes), names, 16))) == 2


def test_good_and_older_records_are_silent(training_folder):
    manifest, config = read_manifest(training_folder / "records", "train"), config_module.mask_rcnn()
    assert manifest.classes_with_objects == set(range(len(manifest.class_names)))
    assert not list(cautions(config, manifest, manifest.class_names, 16))
    older = manifest._replace(classes_with_objects=None, annotations=None)
    assert not list(cautions(config, older, manifest.class_names, 16))


def test_boxes_from_masks_without_masks(training_folder):
    manifest = read_manifest(training_folder / "records", "train")
    config = config_module.load("configs/faster_rcnn_r50_fpn_lsj_100ep.py", [])
    assert not list(cautions(config, manifest, manifest.class_names, 64))
    (line,) = cautions(config, manifest._replace(has_masks=False), manifest.class_names, 64)
    assert line.startswith("data.boxes_from_masks is True, but no object of train has a mask: what a crop cuts keeps")
