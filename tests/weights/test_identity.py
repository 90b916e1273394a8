"""What is exported comes back bit for bit, for every kind of detector and backbone."""

import json

import numpy as np
import pytest

from awsdet.models.builder import BACKBONES, DETECTORS, build
from awsdet.runtime.errors import UserError
from awsdet.weights import load, mmdet, presets
from awsdet.weights.infer import infer
from tests.models.small_detectors import small_detector

OPTIONS = {
    "resnet_v1d": ("model.backbone.name=resnet_v1d",),
    "hrnet": ("model.backbone.name=hrnet", "model.backbone.branch_width=4", "model.fpn.name=hrfpn"),
}
KINDS = {name: (name, ()) for name in DETECTORS}
KINDS.update({name: ("faster_rcnn", OPTIONS[name]) for name in BACKBONES if name != "resnet"})
KINDS["caffe"] = (
    "faster_rcnn",
    ("model.backbone.style=caffe", "model.backbone.depth=26", "model.image.bgr=true", "model.image.std=1,1,1"),
)
KINDS["resnext"] = ("faster_rcnn", ("model.backbone.groups=4", "model.backbone.width_per_group=4"))
KINDS["norms and convolutions"] = (
    "mask_rcnn",
    (
        "model.backbone.norm=group_norm",
        "model.fpn.norm=batch_norm",
        "model.box_head.convs=2",
        "model.box_head.conv_channels=8",
        "model.box_head.norm=group_norm",
        "model.mask_head.convs=2",
        "model.mask_head.norm=group_norm",
        "model.box_head.class_agnostic=true",
        "model.mask_head.class_agnostic=true",
    ),
)


def randomized(detector):
    """The detector with random weights."""
    random = np.random.default_rng(8)
    for variable in mmdet.table(detector).values():
        variable.assign(random.uniform(0.5, 1.5, variable.shape).astype(np.float32))
    return detector


@pytest.mark.parametrize("kind", KINDS)
def test_import_of_export_is_the_identity(kind, tmp_path):
    """The file carries no settings of the model except those that shapes do not show."""
    detector_name, options = KINDS[kind]
    detector = randomized(small_detector(*options, detector=detector_name))
    suffix = ".npz" if len(kind) % 2 else ".safetensors"
    preset = presets.of_detector("its own config", detector)
    load.write(tmp_path / f"weights{suffix}", mmdet.export(detector), preset=preset)
    weights = load.read(tmp_path / f"weights{suffix}")
    assert weights.preset == preset
    config, classes = infer(weights)
    again = build(config, [f"class {index}" for index in range(classes)])
    mmdet.assign(again, weights.arrays)
    ours, theirs = mmdet.table(detector), mmdet.table(again)
    assert list(ours) == list(theirs) and len(ours) == len(detector.variables) - 1  # all but the step counter
    for key, variable in ours.items():
        assert variable.name == theirs[key].name
        assert variable.numpy().tobytes() == theirs[key].numpy().tobytes(), key


def test_what_the_file_says_of_its_model_and_classes_comes_back(tmp_path):
    detector = small_detector()
    model = detector.get_config()["config"]["model"]
    facts = {"class_names": detector.class_names, "model": model}
    load.write(tmp_path / "weights.npz", mmdet.export(detector), **facts)
    weights = load.read(tmp_path / "weights.npz")
    assert weights.class_names == detector.class_names and weights.preset is None
    config, classes = infer(weights)
    assert json.loads(json.dumps(config.model.to_dict())) == model and classes == 3


@pytest.mark.parametrize("model", [3, {"fpn": 3}, {"fpn": {"channels": "many"}}, {"neck": {}}])
def test_config_that_is_none(model, tmp_path):
    load.write(tmp_path / "weights.npz", {"backbone.conv1.weight": np.ones((4, 3, 7, 7))}, model=model)
    with pytest.raises(UserError):
        infer(load.read(tmp_path / "weights.npz"))


def test_strict_import_lists_every_fault(tmp_path):
    detector = small_detector(detector="faster_rcnn")
    arrays = mmdet.export(detector)
    before = {key: variable.numpy() for key, variable in mmdet.table(detector).items()}
    changed = {key: value + 1 for key, value in arrays.items()}
    del changed["backbone.bn1.weight"]
    changed["roi_head.extra.weight"] = np.ones(2)
    changed["neck.fpn_convs.0.conv.bias"] = np.ones(7)
    with pytest.raises(UserError) as error:
        mmdet.assign(detector, changed)
    for fault in (
        "missing backbone.bn1.weight",
        "unused roi_head.extra.weight",
        "neck.fpn_convs.0.conv.bias has shape (7,), but the model has (16,)",
    ):
        assert fault in str(error.value)
    for key, variable in mmdet.table(detector).items():
        np.testing.assert_array_equal(variable.numpy(), before[key])
