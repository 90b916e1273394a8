"""ImageNet backbones of other systems, at their real names and shapes: ours computes the same features."""

import functools
import pickle
import re

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.models.builder import build_backbone
from awsdet.models.layers.initializers import Initializers
from awsdet.weights import load, mmdet, presets
from awsdet.weights.infer import infer
from tests.models.named_weights import array_named
from tests.weights import foreign

BLOCKS = (3, 4, 6, 3)


@functools.lru_cache
def resnet50(style):
    """(backbone of the published widths, its config.model, arrays by mmdetection's names)."""
    model = config_lib.mask_rcnn().model
    model.backbone.style = style
    backbone = build_backbone(model.backbone, initializers=Initializers(1), dtype="float32")
    shapes = {key: mmdet.to_source(key, variable.numpy(), {}).shape for key, variable in _table(backbone).items()}
    return backbone, model, {key: array_named(key, shape) for key, shape in shapes.items()}


def _table(backbone):
    variables = {variable.name.partition(":")[0]: variable for variable in backbone.variables}
    return {mmdet.source_key(name, variables): variable for name, variable in variables.items()}


def backbone_with(style, weights):
    """The backbone with these weights, which must be those of its variables and no others."""
    backbone, model, _ = resnet50(style)
    table = _table(backbone)
    assert sorted(table) == sorted(weights.arrays)
    for key, variable in table.items():
        variable.assign(mmdet.from_source(key, weights.arrays[key], {}))
    return backbone


def random_picture():
    return tf.constant(np.random.RandomState(3).normal(size=(1, 64, 96, 3)).astype(np.float32))


def assert_near(found, expected, tolerance=1e-4):
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        difference = np.abs(np.asarray(ours) - np.asarray(theirs)).max()
        assert difference <= tolerance * np.abs(theirs).max()


# ---------------------------------------------------------------------------------------------------------- tensorpack


def tensorpack_features(arrays, images, pads):
    """C2 to C5 as tensorpack's graph computes them. `pads`: of strided windows, (top and left, bottom and right), for
    the stem; the 3x3 ones have what remains of 1."""

    def conv(features, name, strides=1, pad=None, relu=True):
        kernel = arrays[f"{name}/W"]
        if pad:
            features = tf.pad(features, [[0, 0], pad, pad, [0, 0]])
        features = tf.nn.conv2d(features, kernel, strides, "VALID" if pad else "SAME")
        statistics = [arrays[f"{name}/bn/{kind}"] for kind in ("mean/EMA", "variance/EMA", "beta", "gamma")]
        features = tf.nn.batch_normalization(features, *statistics, 1e-5)
        return tf.nn.relu(features) if relu else features

    small = [1, 0] if pads[0] > pads[1] else [0, 1]
    features = conv(images, "conv0", 2, pads)
    features = tf.nn.max_pool2d(tf.pad(features, [[0, 0], small, small, [0, 0]]), 3, 2, "VALID")
    outputs = []
    for group, blocks in enumerate(BLOCKS):
        for block in range(blocks):
            strides = 2 if group and not block else 1
            name = f"group{group}/block{block}"
            inside = conv(conv(features, f"{name}/conv1"), f"{name}/conv2", strides, small if strides == 2 else None)
            shortcut = features
            if not block:
                shortcut = conv(features, f"{name}/convshortcut", strides, relu=False)
            features = tf.nn.relu(conv(inside, f"{name}/conv3", relu=False) + shortcut)
        outputs.append(features)
    return outputs


@pytest.mark.parametrize("suffix", [":0", ""])
def test_imagenet_r50_alignpadding(tmp_path, suffix):
    """The pads of tensorpack, 3 and 2 or 1 and 0, are ours, 3 or 1 on all sides, as long as sides are even: what we
    pad more at the bottom and right no window reaches. TensorFlow's own padding would not do."""
    arrays = foreign.tensorpack(resnet50("pytorch")[2])
    np.savez(tmp_path / "ImageNet-R50-AlignPadding.npz", **{f"{key}{suffix}": value for key, value in arrays.items()})
    weights = load.read(tmp_path / "ImageNet-R50-AlignPadding.npz")
    assert weights.backbone_only and weights.preset == presets.TENSORPACK
    assert sorted(weights.ignored) == ["global_step", "linear/W", "linear/b"] and not weights.unknown
    features = backbone_with("pytorch", weights)(random_picture())
    assert_near(features, tensorpack_features(arrays, random_picture(), [3, 2]))
    with pytest.raises(AssertionError):
        assert_near(features, tensorpack_features(arrays, random_picture(), [2, 3]), 0.05)


# --------------------------------------------------------------------------------------------------------------- Keras


def test_keras_applications(tmp_path):
    """The ResNet50 of Keras itself, with biases and statistics unlike those of a new model."""
    theirs = tf.keras.applications.ResNet50(weights=None, include_top=True, input_shape=(64, 96, 3))
    for variable in theirs.variables:
        name = variable.name.partition(":")[0]
        kinds = {"moving_variance": "running_var", "kernel": "kernel", "gamma": "weight"}
        kind = kinds.get(name.rpartition("/")[2], "bias")
        shape = tuple(variable.shape)
        if kind == "kernel":
            shape = shape[::-1]  # array_named() takes all but the first axis as the fan in
        array = array_named(f"{name}.{kind}", shape)
        variable.assign(array.T if kind == "kernel" else array)
    theirs.save_weights(tmp_path / "resnet50.h5")
    weights = load.read(tmp_path / "resnet50.h5")
    assert weights.system == "keras" and weights.preset == presets.KERAS and not weights.unknown
    assert weights.sources["backbone.bn1.running_mean"] == "conv1_bn/moving_mean - conv1_conv/bias"
    assert sorted(weights.ignored) == ["predictions/bias", "predictions/kernel"]
    names = [f"conv{stage}_block{blocks}_out" for stage, blocks in zip(range(2, 6), BLOCKS)]
    outputs = tf.keras.Model(theirs.inputs, [theirs.get_layer(name).output for name in names])
    assert_near(backbone_with("caffe", weights)(random_picture()), outputs(random_picture()))


def test_keras_epsilon_counts_where_a_variance_is_small():
    """How folding affects a variance, for one where it matters: 1.001e-5 under the root instead of 1e-5."""
    from awsdet.weights.formats import fold_keras

    arrays = {
        "backbone.conv1.bias": np.float32([0.5]),
        "backbone.bn1.running_mean": np.float32([2.0]),
        "backbone.bn1.running_var": np.float32([1e-7]),
    }
    fold_keras(arrays, {key: key for key in arrays})
    assert list(arrays) == ["backbone.bn1.running_mean", "backbone.bn1.running_var"]
    ours = 1 / np.sqrt(arrays["backbone.bn1.running_var"] + np.float32(1e-5))
    np.testing.assert_allclose(ours, 1 / np.sqrt(1e-7 + 1.001e-5), rtol=1e-6)
    assert arrays["backbone.bn1.running_mean"] == 1.5


# ----------------------------------------------------------------------------------------------------------- Detectron


def test_msra_r50(tmp_path):
    """R-50.pkl: scale and offset alone, stride on the first 1x1. The standard deviation is in the first convolution:
    the preset asks for pixels that are not divided."""
    arrays = resnet50("caffe")[2]
    theirs = foreign.detectron(arrays)
    (tmp_path / "R-50.pkl").write_bytes(pickle.dumps(theirs, protocol=2))
    weights = load.read(tmp_path / "R-50.pkl")
    assert weights.preset == presets.MSRA and weights.preset.settings["image.std"] == (1.0, 1.0, 1.0)
    backbone = backbone_with("caffe", weights)
    features = random_picture()
    for conv in backbone.stem:
        features = conv(features)
    kernel = theirs["conv1_w"].transpose(2, 3, 1, 0)
    expected = tf.nn.conv2d(random_picture(), kernel, 2, [[0, 0], [3, 3], [3, 3], [0, 0]])
    expected = tf.nn.relu(expected * theirs["res_conv1_bn_s"] + theirs["res_conv1_bn_b"])
    assert_near([features], [expected], 1e-6)
    scales = [key for key in theirs if re.fullmatch(r"res.*_bn_s", key)]
    assert len(scales) == 53  # every BatchNorm of the network was asked for
    for key, array in arrays.items():
        if key.endswith(("weight", "bias")):
            np.testing.assert_array_equal(weights.arrays[key], array, key)


# --------------------------------------------------------------------------------------------------------------- HRNet


def hrnet_classifier(channels):
    """The weights of HRNet's image classifier beyond the backbone, by published names. `channels`: of its branches."""
    names = {"classifier": ("weight", "bias"), "final_layer.0": ("weight", "bias")}
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names["final_layer.1"] = batch_norm
    for branch in range(len(channels)):
        for number in (1, 2, 3):
            names[f"incre_modules.{branch}.0.conv{number}"] = ("weight",)
            names[f"incre_modules.{branch}.0.bn{number}"] = batch_norm
        names[f"incre_modules.{branch}.0.downsample.0"] = ("weight",)
        names[f"incre_modules.{branch}.0.downsample.1"] = batch_norm
    for step in range(len(channels) - 1):
        names[f"downsamp_modules.{step}.0"] = ("weight", "bias")
        names[f"downsamp_modules.{step}.1"] = batch_norm
    return {f"{path}.{kind}": np.ones(1, np.float32) for path, kinds in names.items() for kind in kinds}


def test_hrnet_of_imagenet(tmp_path):
    """Its classifier is left out by name, and what remains is our backbone: no array missing, none too many."""
    model = config_lib.mask_rcnn().model
    model.backbone.update(name="hrnet", branch_width=2, base_width=4)
    backbone = build_backbone(model.backbone, initializers=Initializers(1), dtype="float32")
    table = _table(backbone)
    expected = {
        key: array_named(key, mmdet.to_source(key, variable.numpy(), {}).shape) for key, variable in table.items()
    }
    classifier = hrnet_classifier(backbone.out_channels)
    counters = {"bn1.num_batches_tracked": np.array(7), "stage4.2.fuse_layers.3.0.2.1.num_batches_tracked": np.array(7)}
    published = {key.removeprefix("backbone."): array for key, array in expected.items()}
    np.savez(tmp_path / "hrnetv2_w32_imagenet.npz", **published, **classifier, **counters)
    weights = load.read(tmp_path / "hrnetv2_w32_imagenet.npz")
    assert sorted(weights.ignored) == sorted([*classifier, *counters]) and not weights.unknown
    assert weights.backbone_only and weights.preset == presets.TORCHVISION
    assert sorted(weights.arrays) == sorted(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(weights.arrays[key], array, key)
    backbone = infer(weights)[0].model.backbone
    assert (backbone.name, backbone.branch_width) == ("hrnet", 2)
