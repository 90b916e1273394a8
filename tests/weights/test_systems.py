"""Weights in the names and layouts of other systems are read as those of the detector they were made from."""

import functools
import pickle
import re

import numpy as np
import pytest

from awsdet.models.builder import build
from awsdet.weights import load, mmdet, presets
from awsdet.weights.infer import infer
from tests.models.small_detectors import small_detector
from tests.weights import foreign


@functools.lru_cache
def detector_and_arrays(name, *options):
    """A small detector and arrays for it. Tests must not change them."""
    detector = small_detector(*options, detector=name)
    return detector, foreign.arrays_for(detector)


def saved_npz(folder, arrays, suffix=":0"):
    np.savez(folder / "weights.npz", **{f"{key}{suffix}": value for key, value in arrays.items()})
    return folder / "weights.npz"


def saved_pkl(folder, content, protocol=2):
    (folder / "weights.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    return folder / "weights.pkl"


def assert_same_arrays(found, expected):
    assert sorted(found) == sorted(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, key)


def assert_fills(weights, detector):
    """The file shows which model it belongs to, and holds all weights of that model."""
    config, classes = infer(weights)
    assert classes == detector.num_classes and config.model.detector == detector.name
    mmdet.assign(detector, weights.arrays)


@pytest.mark.parametrize("suffix", [":0", ""])
def test_tensorpack_mask_rcnn(tmp_path, suffix):
    detector, arrays = detector_and_arrays("mask_rcnn")
    weights = load.read(saved_npz(tmp_path, foreign.tensorpack(arrays), suffix))
    assert weights.system == "tensorpack" and not weights.unknown and len(weights.ignored) == 3
    assert_same_arrays(weights.arrays, arrays)
    assert_fills(weights, detector)
    # Without ":0" it may be a converted detector of Detectron2, whose pixels differ.
    assert weights.preset == (presets.TENSORPACK if suffix else None)


def test_tensorpack_cascade_gives_its_mask_head_to_every_stage(tmp_path):
    detector, arrays = detector_and_arrays("cascade_mask_rcnn")
    weights = load.read(saved_npz(tmp_path, foreign.tensorpack(arrays)))
    first = {key: value for key, value in arrays.items() if "mask_head.1" not in key and "mask_head.2" not in key}
    copies = {
        key.replace("mask_head.0", f"mask_head.{stage}"): value
        for key, value in first.items()
        for stage in (1, 2)
        if "mask_head.0" in key
    }
    assert_same_arrays(weights.arrays, {**first, **copies})
    assert_fills(weights, detector)


@pytest.mark.parametrize("affine", [True, False])
def test_detectron_mask_rcnn(tmp_path, affine):
    detector, arrays = detector_and_arrays("mask_rcnn")
    weights = load.read(saved_pkl(tmp_path, {"blobs": foreign.detectron(arrays, affine), "cfg": "MODEL: …"}))
    assert weights.system == "detectron" and weights.preset == presets.MSRA and not weights.unknown
    assert {key.removesuffix("_momentum") for key in weights.ignored} >= {"fc1000_w", "fc6_w", "cls_score_b"}
    for key, value in arrays.items():
        if affine and key.endswith("running_mean"):
            value = np.zeros_like(value)
        if affine and key.endswith("running_var"):  # with our epsilon the scale equals the weight to the last bit
            assert (weights.arrays[key] + np.float32(1e-5) == 1).all()
        else:
            np.testing.assert_array_equal(weights.arrays[key], value, key)
    assert_fills(weights, detector)


@pytest.mark.parametrize("name", ["mask_rcnn", "cascade_rcnn", "retinanet"])
def test_detectron2(tmp_path, name):
    detector, arrays = detector_and_arrays(name)
    content = {"model": foreign.detectron2(arrays), "__author__": "Detectron2 Model Zoo"}
    weights = load.read(saved_pkl(tmp_path, content, protocol=4))
    relu = {presets.RELU: True} if name == "retinanet" else {}  # theirs has a ReLU before P7
    assert weights.system == "detectron2" and not weights.unknown
    assert weights.preset.settings == {**presets.MSRA.settings, **relu}
    assert_same_arrays(weights.arrays, arrays)
    assert_fills(weights, detector)


def test_detectron2_backbone_of_torchvision_says_so(tmp_path):
    arrays = foreign.backbone_part(detector_and_arrays("mask_rcnn")[1])
    content = {"model": foreign.detectron2(arrays, prefix=""), "__author__": "torchvision", "matching_heuristics": True}
    content["model"]["stem.fc.weight"] = np.ones((1000, 256))
    weights = load.read(saved_pkl(tmp_path, content))
    assert_same_arrays(weights.arrays, arrays)
    assert (
        weights.preset == presets.TORCHVISION
        and weights.backbone_only
        and weights.ignored
        == [
            "proposal_generator.anchor_generator.cell_anchors.0",
            "stem.fc.weight",
        ]
    )


GROUP_NORM = (
    "model.backbone.norm=group_norm",
    "model.fpn.norm=group_norm",
    "model.box_head.convs=4",
    "model.box_head.conv_channels=8",
    "model.box_head.norm=group_norm",
    "model.mask_head.norm=group_norm",
)


@pytest.mark.parametrize("system", ["detectron", "detectron2"])
def test_group_norm_everywhere(system, tmp_path):
    """The models of Wu and He 2018; these have the stride on the 3x3."""
    detector, arrays = detector_and_arrays("mask_rcnn", *GROUP_NORM)
    if system == "detectron":
        as_batch_norm = {re.sub(r"^(backbone\.(?:.*\.)?)gn(\d)", r"\1bn\2", key): v for key, v in arrays.items()}
        theirs = foreign.detectron(as_batch_norm)
        theirs = {key.replace("res_conv1_bn", "conv1_gn").replace("_bn_", "_gn_"): v for key, v in theirs.items()}
    else:
        theirs = {"model": foreign.detectron2(arrays), "__author__": "Detectron2 Model Zoo"}
    weights = load.read(saved_pkl(tmp_path, theirs))
    assert weights.system == system and not weights.unknown and weights.preset == presets.DETECTRON_GROUP_NORM
    assert_same_arrays(weights.arrays, arrays)
    assert_fills(weights, detector)


def test_detectron2_from_scratch_has_batch_norm_in_its_heads(tmp_path):
    """Its new baselines: batch norm everywhere, two convolutions in the RPN."""
    settings = [f"{setting.replace('group_norm', 'sync_batch_norm')}" for setting in GROUP_NORM]
    detector, arrays = detector_and_arrays(
        "mask_rcnn", *settings, "model.rpn.convs=2", "model.backbone.frozen_stages=-1"
    )
    theirs = foreign.detectron2(arrays)
    assert {f"proposal_generator.rpn_head.conv.conv{i}.weight" for i in range(2)} < theirs.keys()
    assert {
        f"{name}.norm.running_var" for name in ("backbone.fpn_lateral2", "roi_heads.box_head.conv4")
    } < theirs.keys()
    counter = {"roi_heads.mask_head.mask_fcn1.norm.num_batches_tracked": np.array(9)}
    content = {"model": {**theirs, **counter}, "__author__": "Detectron2 Model Zoo"}
    weights = load.read(saved_pkl(tmp_path, content))
    assert weights.system == "detectron2" and not weights.unknown and weights.preset == presets.MSRA
    assert_same_arrays(weights.arrays, arrays)
    assert_fills(weights, detector)
    model = infer(weights)[0].model
    assert (model.rpn.convs, model.box_head.norm, model.mask_head.norm) == (2, "batch_norm", "batch_norm")
    mmdet.assign(build(infer(weights)[0], ["a", "b", "c"]), weights.arrays)


def test_detectron_resnext_has_other_pixels(tmp_path):
    arrays = detector_and_arrays("mask_rcnn", "model.backbone.groups=4", "model.backbone.width_per_group=4")[1]
    weights = load.read(saved_pkl(tmp_path, foreign.detectron(foreign.backbone_part(arrays))))
    assert weights.preset.settings["image.std"] == (57.375, 57.12, 58.395)
    assert weights.preset.settings["backbone.style"] == "pytorch" and weights.preset.settings["image.bgr"]


@pytest.mark.parametrize("options", [(), ("model.backbone.name=resnet_v1d",)])
def test_torchvision_names_in_a_file_of_any_kind(options, tmp_path):
    """torchvision and OpenMMLab use the same names; with a classifier the file is torchvision's, and expects RGB."""
    arrays = foreign.backbone_part(detector_and_arrays("mask_rcnn", *options)[1])
    theirs = {key.removeprefix("backbone."): value for key, value in arrays.items()}
    for classifier, preset in ({}, None), ({"fc.weight": np.ones((10, 8))}, presets.TORCHVISION):
        weights = load.read(saved_npz(tmp_path, {**theirs, **classifier, "x.num_batches_tracked": np.array(3)}, ""))
        assert_same_arrays(weights.arrays, arrays)
        assert weights.system == "torchvision" and weights.preset == preset and weights.backbone_only
        assert len(weights.ignored) == 1 + len(classifier) and infer(weights)[0].model.backbone.base_width == 8


def test_mmdetection_names_in_a_file_of_any_kind(tmp_path):
    detector, arrays = detector_and_arrays("retinanet")
    weights = load.read(saved_npz(tmp_path, {f"module.{key}": value for key, value in arrays.items()}, ""))
    assert_same_arrays(weights.arrays, arrays)
    assert weights.system == "mmdetection" and weights.preset is None
    assert_fills(weights, detector)


def test_names_that_no_rule_knows_are_reported(tmp_path):
    arrays = foreign.tensorpack(foreign.backbone_part(detector_and_arrays("mask_rcnn")[1]))
    weights = load.read(saved_npz(tmp_path, {**arrays, "group0/block0/attention/W": np.ones(3)}))
    assert weights.unknown == {"group0/block0/attention/W": (3,)}
