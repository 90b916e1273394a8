"""Tests of the translation of MindSpore's YAML configs: what each key becomes, and which files are refused."""

import copy
import pathlib

import pytest
import yaml

from awsdet import config as configs
from awsdet.config.mindspore import Kind, as_python, translate
from awsdet.runtime.errors import UserError

PUBLISHED = pathlib.Path(__file__).parents[1] / "fixtures" / "mindspore" / "mask_scoring_rcnn.yaml"
TREE = next(yaml.safe_load_all(PUBLISHED.read_text()))


@pytest.fixture
def changed(tmp_path):
    """A function that writes the published file with other values, None for a key to leave out: path."""

    def write(changes):
        tree = copy.deepcopy(TREE)
        for key, value in changes.items():
            *sections, name = key.split(".")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node.pop(name, None)
            if value is not None:
                node[name] = value
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        return path

    return write


def test_the_published_file(tmp_path):
    found = translate(PUBLISHED)
    caffe = configs.load("configs/mask_rcnn_r50_caffe_fpn_1x.py").model
    assert found.family == found.config.model.detector == "mask_scoring_rcnn"
    assert found.changes == {
        "data.eval_batch_size": 1,
        "data.eval_short_side": 1024,
        "data.max_long_side": 1024,
        "data.pad_multiple": 64,
        "data.short_sides": (1024,),
        "model.backbone.style": "caffe",
        "model.image.bgr": caffe.image.bgr,
        "model.image.mean": caffe.image.mean,
        "model.image.std": caffe.image.std,
        "optimizer.scale_learning_rate": False,
        "train.checkpoint_every_steps": 100,
        "train.init_from": "imagenet-r50-caffe",
        "train.keep_best_count": 5,
        "train.keep_last": 5,
        "train.log_every_steps": 100,
    }
    assert len(found.rows) == len({row.key for row in found.rows}) == 143 and found.more == 2
    assert [len(found.of_kind(kind)) for kind in Kind] == [13, 71, 59, 0]
    assert all(row.text for row in found.rows)
    assert found.datasets == {"train_dataset": "/data/coco-2017/train", "val_dataset": "/data/coco-2017/validation/"}

    written = tmp_path / "config.py"
    written.write_text(as_python(found, "odd\nname.yaml"))
    assert configs.to_json(configs.load(written)) == configs.to_json(found.config)


@pytest.mark.parametrize(
    "changes, wanted",
    [
        ({"backbone.depth": 101}, {"model.backbone.depth": 101, "train.init_from": "imagenet-r101-caffe"}),
        ({"backbone.style": "pytorch", "backbone.depth": 152}, {"train.init_from": "imagenet-r152"}),
        ({"backbone.norm_eval": False, "backbone.frozen_stages": -1}, {"model.backbone.norm": "batch_norm"}),
        ({"pre_trained": "runs/coco"}, {"train.init_from": "runs/coco"}),
        ({"backbone.pretrained": "r50.pth"}, {"train.init_from": "r50.pth"}),
        ({"backbone.pretrained": ""}, {"train.init_from": ""}),
        ({"rpn.feat_channels": 128, "rpn.anchor_generator.scales": [4, 8]}, {"model.anchors.scales": (4.0, 8.0)}),
        ({"rpn.loss_bbox.loss_weight": 2}, {"model.rpn.box_loss_weight": 2.0}),
        ({"train_cfg.rcnn.sampler.num": 256.0}, {"model.box_head.sample_size": 256}),
        ({"bbox_head.reg_class_agnostic": 1}, {"model.box_head.class_agnostic": True}),
        ({"lr": "2e-3"}, {"optimizer.learning_rate": 0.002}),  # a text, as YAML 1.1 has it
        ({"lr_type": "dynamic", "min_lr": 0.0002}, {"schedule.name": "cosine", "schedule.final_ratio": 0.01}),
        ({"run_eval": 0}, {"train.evaluate_every_epochs": 0}),
        ({"eval_every": 2}, {"train.evaluate_every_epochs": 2}),
        ({"keep_best_checkpoints_max": 0}, {"train.keep_best": False, "train.keep_best_count": 1}),
        ({"img_width": 1280, "img_height": 768}, {"data.max_long_side": 1280, "data.short_sides": (768,)}),
        ({"mask_iou_head": None}, {"model.detector": "mask_rcnn", "model.mask_iou_head.logit_threshold": 0.5}),
        ({"mask_iou_head": None, "mask_head": None, "detector": "faster_rcnn"}, {"model.detector": "faster_rcnn"}),
        ({"mask_iou_head": None, "mask_head": None, "detector": None}, {"model.detector": "mask_rcnn"}),
        ({"save_every": 0}, {"train.checkpoint_every_steps": 0, "train.log_every_steps": 50}),
        ({"roi.finest_scale": 28, "mask_roi.finest_scale": 28}, {"model.box_head.finest_scale": 28.0}),
        ({"to_rgb": 1}, {"model.image.bgr": False}),
    ],
    ids=str,
)
def test_values_become_settings(changed, changes, wanted):
    found = translate(changed(changes))
    assert not found.of_kind(Kind.UNSUPPORTED)
    assert {name: configs.setting(found.config, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    "key, value, words",
    [
        ("ratio_range", [0.5, 2.0], "in none of the published files"),
        ("backbone.extra", {"stage1": {"num_modules": 1}}, "in none of the published files"),
        ("backbone.type", "resnext", "only resnet"),
        ("backbone.num_stages", 3, "only 4"),
        ("rpn.anchor_generator.strides", [8, 16, 32, 64, 128], "only [4, 8, 16, 32, 64]"),
        ("rpn.in_channels", 128, "neck.fpn.out_channels is 256"),
        ("train_cfg.rcnn.mask_size", 56, "twice the size of mask_roi.roi_layer.out_size, which is 14"),
        ("train_cfg.rcnn.sampler.add_gt_as_proposals", False, "only true"),
        ("pre_trained", "ms_rcnn.ckpt", "a checkpoint of MindSpore (.ckpt) cannot be read"),
        ("opt_type", "adam", "optimizer.name=adamw"),
        ("lr_type", "poly", "only multistep and dynamic"),
        ("grad_clip", 5, "--config.optimizer.clip_norm=1"),
        ("keep_ratio", 0, "only 1"),
        ("expand_ratio", 0.5, "set it to 0"),
        ("to_rgb", "False", "it must be 1 or 0"),
        ("device_target", "Ascend", "CPUs and NVIDIA GPUs"),
        ("detector", "cascade_mask_rcnn", "start from a config in configs/"),
        ("detector", "faster_rcnn", "a section for masks too"),
        ("img_width", "wide", "whole numbers"),
        ("mask_roi.roi_layer.type", ["RoIAlign"], 'only "RoIAlign"'),
    ],
)
def test_what_cannot_be_had_is_named(changed, key, value, words):
    rows = translate(changed({key: value})).of_kind(Kind.UNSUPPORTED)
    assert any(row.key.startswith(key) and words in row.text for row in rows), rows


def test_classes_that_do_not_fit_their_number(changed):
    (row,) = translate(changed({"num_classes": 81})).of_kind(Kind.UNSUPPORTED)
    assert row.key == "coco_classes" and "num_classes is 81, and here is 4 names" in row.text


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"batch_size": "many"}, "batch_size is many: data.batch_size must be a whole number"),
        ({"batch_size": 2.5}, "batch_size is 2.5: data.batch_size must be a whole number"),
        ({"batch_size": True}, "batch_size is true: data.batch_size must be a whole number"),
        ({"lr": float("inf")}, "optimizer.learning_rate is inf; it must be a finite number"),
        ({"lr": 10**400}, "optimizer.learning_rate must be a number"),
        ({"img_mean": [1, 2]}, "img_mean is [1, 2]: model.image.mean is"),
        ({"img_mean": ["a", "b", "c"]}, "model.image.mean must be a list of numbers"),
        ({"backbone.depth": 34}, "backbone.depth is 34: model.backbone.depth is 34; it must be one of 14, 26, 50"),
        ({"backbone.style": 7}, "model.backbone.style must be a text"),
        ({"divider": 48}, "divider is 48: data.pad_multiple is 48; it must be a multiple of 32"),
        ({"epoch_size": None, "train_cfg.rpn.assigner.neg_iou_thr": 0.9}, "model.rpn.negative_iou is 0.9, more than"),
        ({"mask_roi.finest_scale": 112}, "roi.finest_scale and mask_roi.finest_scale differ (56.0 and 112.0)"),
        ({"bbox_head.roi_feat_size": 14}, "bbox_head.roi_feat_size and roi.roi_layer.out_size differ"),
    ],
    ids=str,
)
def test_values_that_awsdet_refuses(changed, changes, words):
    with pytest.raises(UserError) as error:
        translate(changed(changes))
    assert words in str(error.value) and "\n" not in str(error.value)


LAUGHS = "a: &a {x: 1, y: 2, z: 3}\n" + "".join(
    f"{new}: &{new} {{p: *{old}, q: *{old}, r: *{old}}}\n" for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("lr: 1\nlr: 2\n", "line 2: lr is given twice; line 1 has it too"),
        ("rpn: {a: 1}\nrpn.a: 2\n", "rpn.a is given twice, by its name and by its section"),
        ("lr: [1\n", "cannot be read as YAML"),
        ("lr: !!python/object/apply:os.system ['touch made']\n", "cannot be read as YAML: could not determine"),
        ("? [a]\n: 1\n", "cannot be read as YAML"),
        ("lr: 2026-99-99\n", "cannot be read as YAML"),
        ("a: &a {b: *a}\n", "lies too deep"),
        (LAUGHS, "more than 2,000 keys"),
        ("lr: &a [*a]\n", "lr has more than 2,000 values"),
        (b"\xff\xfe\xfd", "cannot be read as YAML"),
        ("x" * (2**20 + 1), "too many for a config"),
    ],
    ids=range(13),
)
def test_files_that_are_no_config(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        translate(path)
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["bad.yaml"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"config file .*none.yaml does not exist"):
        translate(tmp_path / "none.yaml")
