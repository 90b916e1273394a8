"""Backbones at their real sizes against PyTorch's; tests/fixtures/backbones/make.py made the numbers."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.models.builder import build, build_backbone, build_neck
from awsdet.models.layers.initializers import Initializers
from awsdet.models.necks.hrfpn import HRFPN
from awsdet.runtime.errors import UserError
from awsdet.weights import mmdet
from tests.models.named_weights import IMAGE, PYRAMID_IMAGE, array_named, every_16th_channel, random_image
from tests.models.small_detectors import TWO_IMAGES, batch_of, small_config, small_detector

FIXTURES = pathlib.Path(__file__).parents[2] / "fixtures" / "backbones"
HRNET = ("model.backbone.name=hrnet", "model.fpn.name=hrfpn")
VARIANTS = {
    "resnet101": ("model.backbone.depth=101",),
    "resnet50_caffe": ("model.backbone.style=caffe",),
    "resnet50_v1d": ("model.backbone.name=resnet_v1d",),
    "resnext50_32x4d": ("model.backbone.groups=32", "model.backbone.width_per_group=4"),
    "hrnetv2p_w32": HRNET,
}
TINY = {
    "v1d": ("model.backbone.name=resnet_v1d",),
    "resnext": ("model.backbone.groups=4", "model.backbone.width_per_group=4"),
    "hrnet": (*HRNET, "model.backbone.branch_width=4", "model.backbone.norm=batch_norm"),
}


def full_size_backbone_and_neck(*overrides):
    """A backbone and neck of the published widths with weights made from their names."""
    config = config_lib.mask_rcnn()
    for override in overrides:
        config_lib.apply_override(config, override)
    common = {"initializers": Initializers(1), "dtype": "float32"}
    backbone = build_backbone(config.model.backbone, **common)
    neck = build_neck(config.model.fpn, backbone.out_channels, num_outs=5, **common)
    variables = {v.name.partition(":")[0]: v for v in backbone.variables + neck.variables}
    for name, variable in variables.items():
        key = mmdet.source_key(name, variables)
        shape = tuple(variable.shape[axis] for axis in ((3, 2, 0, 1) if len(variable.shape) == 4 else (0,)))
        variable.assign(mmdet.from_source(key, array_named(key, shape), {}))
    return backbone, neck


@pytest.mark.parametrize("name", VARIANTS)
def test_equals_pytorch(name):
    backbone, neck = full_size_backbone_and_neck(*VARIANTS[name])
    expected = dict(np.load(FIXTURES / f"{name}.npz"))
    pyramid = name.startswith("hrnet")
    pixels = tf.constant(random_image(PYRAMID_IMAGE if pyramid else IMAGE))
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        outputs = backbone(pixels, training=True)
        outputs += neck(outputs) if pyramid else []
        total = tf.add_n([tf.reduce_sum(tf.square(o)) for o in outputs])
    gradient = tape.gradient(total, pixels).numpy()
    assert len(outputs) == len(expected) - 1
    for index, ours in enumerate(outputs):
        theirs = expected[f"output{index}"]
        assert every_16th_channel(ours.numpy()).shape == theirs.shape
        assert np.abs(every_16th_channel(ours.numpy()) - theirs).max() < 1e-4 * np.abs(theirs).max(), index
    theirs = expected["image_gradient"]
    assert np.linalg.norm(gradient - theirs) < 1e-3 * np.linalg.norm(theirs)


@pytest.mark.parametrize("depth, parameters", [(26, 13_946_176), (50, 23_508_032)])
def test_sizes_are_those_of_others(depth, parameters):
    """timm's resnet26 and torchvision's resnet50 without the 2,049,000 parameters of their classifiers."""
    model = config_lib.mask_rcnn().model
    model.backbone.depth = depth
    backbone = build_backbone(model.backbone, initializers=Initializers(1), dtype="float32")
    statistics = (".mean:0", ".variance:0")
    assert sum(v.shape.num_elements() for v in backbone.variables if not v.name.endswith(statistics)) == parameters


@pytest.mark.parametrize("name", TINY)
def test_trains_and_detects_in_low_precision(name):
    """The loss is near that in float32, and every variable gets a finite gradient. Eager, since tracing is slow."""
    data = batch_of(TWO_IMAGES, size=(64, 64))
    losses = {}
    for precision in ("float32", "mixed_bfloat16"):
        overrides = (*TINY[name], f"model.precision={precision}", "model.backbone.frozen_stages=0")
        model = small_detector(*overrides, detector="faster_rcnn")
        with tf.GradientTape() as tape:
            terms = model.compute_losses(data)
            total = tf.add_n(list(terms.values()))
        losses[precision] = float(total)
        if precision != "float32":
            gradients = tape.gradient(total, model.trainable_variables)
            for variable, gradient in zip(model.trainable_variables, gradients):
                assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all(), variable.name
            found = model(data)
            assert np.isfinite(found["boxes"].numpy()).all() and found["boxes"].dtype == tf.float32
    assert losses["mixed_bfloat16"] == pytest.approx(losses["float32"], rel=0.1)


def test_hrnet_freezes_stage_by_stage():
    def trainable(frozen_stages):
        overrides = (*TINY["hrnet"], f"model.backbone.frozen_stages={frozen_stages}")
        config = small_config(*overrides).model.backbone
        backbone = build_backbone(config, initializers=Initializers(1), dtype="float32")
        return {v.name.split(".")[1] for v in backbone.trainable_variables}

    parts = ["conv1", "conv2", "layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4"]
    for frozen_stages, first in ((0, 2), (2, 5), (4, 9)):
        assert trainable(frozen_stages) == set(parts[first:]), frozen_stages


def test_v1d_freezes_its_whole_stem():
    names = [v.name for v in small_detector("model.backbone.name=resnet_v1d").trainable_variables]
    assert not any(name.startswith(("backbone.stem.", "backbone.layer1.")) for name in names)
    assert any(name.startswith("backbone.layer2.0.downsample.1.") for name in names)


@pytest.mark.parametrize(
    "override, complaint",
    [
        ("backbone.name=vgg", r"model.backbone.name is 'vgg'; it must be one of resnet, resnet_v1d, hrnet"),
        ("backbone.groups=0", "model.backbone.groups is 0; it must be 1 or more"),
        ("backbone.groups=3", "model.backbone.width_per_group is 0; it must be 1 or more"),
        ("backbone.norm=layer_norm", "model.backbone.norm is 'layer_norm'; it must be one of .*sync_batch_norm"),
        ("fpn.name=bifpn", "model.fpn.name is 'bifpn'; it must be one of fpn, hrfpn"),
        ("fpn.extra_convs=on_input", "model.fpn.extra_convs is 'on_input'; hrfpn has none"),
        ("backbone.base_width=7", "model.backbone.base_width is 7; resnet_v1d halves it"),
    ],
)
def test_wrong_settings_are_named(override, complaint):
    more = {
        "backbone.groups=3": ["model.backbone.width_per_group=0"],
        "fpn.extra_convs=on_input": ["model.fpn.name=hrfpn"],
        "backbone.base_width=7": ["model.backbone.name=resnet_v1d"],
    }
    with pytest.raises(UserError, match=complaint):
        build(small_config(f"model.{override}", *more.get(override, [])), ["a"])


@pytest.mark.parametrize("size", [(32, 64), (96, 160)])
def test_hrfpn_levels_halve_and_none_is_empty(size):
    neck = HRFPN([4, 8, 16, 32], 8, norm="none", initializers=Initializers(1), dtype="float32")
    features = [tf.ones([1, size[0] // s, size[1] // s, 4 * i]) for s, i in ((4, 1), (8, 2), (16, 4), (32, 8))]
    shapes = [tuple(level.shape[1:3]) for level in neck(features)]
    assert shapes == [tuple(max(1, side // stride) for side in size) for stride in (4, 8, 16, 32, 64)]
