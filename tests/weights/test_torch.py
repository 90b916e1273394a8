"""Files of PyTorch in both formats: torchvision's backbones and mmdetection's detectors."""

import numpy as np
import pytest

from awsdet.weights import load, presets
from tests.models.small_detectors import small_detector
from tests.weights import foreign, torch_files


@pytest.fixture(scope="module")
def arrays():
    return foreign.arrays_for(small_detector(detector="mask_rcnn"))


@pytest.mark.parametrize("zipped", [True, False])
def test_torchvision(arrays, zipped, tmp_path):
    backbone = foreign.backbone_part(arrays)
    others = {"bn1.num_batches_tracked": np.array(3), "fc.weight": np.ones((9, 4)), "fc.bias": np.ones(9)}
    state = {**{key.removeprefix("backbone."): value for key, value in backbone.items()}, **others}
    torch_files.save(tmp_path / "resnet50.pth", torch_files.tensors(state), zipped)
    weights = load.read(tmp_path / "resnet50.pth")
    assert weights.system == "torchvision" and weights.preset == presets.TORCHVISION and weights.backbone_only
    assert sorted(weights.ignored) == ["bn1.num_batches_tracked", "fc.bias", "fc.weight"] and not weights.unknown
    assert sorted(weights.arrays) == sorted(backbone)
    for key, value in backbone.items():
        np.testing.assert_array_equal(weights.arrays[key], value, key)


CAFFE = """
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(style='caffe', depth=50)
"""


@pytest.mark.parametrize(
    "meta, classes, preset",
    [
        ({"dataset_meta": {"classes": ("cat", "dog", "owl")}, "cfg": CAFFE}, ("cat", "dog", "owl"), "caffe"),
        ({"CLASSES": ["cat", "dog", "owl"], "config": "img_norm_cfg = …"}, ("cat", "dog", "owl"), None),
        ({}, None, None),
    ],
)
def test_mmdetection(arrays, meta, classes, preset, tmp_path):
    state = torch_files.tensors({f"module.{key}" if not meta else key: value for key, value in arrays.items()})
    torch_files.save(tmp_path / "mask_rcnn.pth", {"state_dict": state, "meta": meta})
    weights = load.read(tmp_path / "mask_rcnn.pth")
    assert weights.system == "mmdetection" and weights.class_names == classes
    assert (weights.preset and weights.preset.settings) == (presets.MSRA.settings if preset else None)
    assert sorted(weights.arrays) == sorted(arrays)
    for key, value in arrays.items():
        np.testing.assert_array_equal(weights.arrays[key], value, key)
