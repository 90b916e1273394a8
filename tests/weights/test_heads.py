"""Heads of tensorpack's and Detectron's COCO models at their real shapes: what the numbers of their layers mean."""

import pickle

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config as config_lib
from awsdet.detection import boxes
from awsdet.models.layers.initializers import Initializers
from awsdet.models.layers.upsample import Upsample, interleave
from awsdet.weights import load, mmdet

CLASSES = 80
RANDOM = np.random.RandomState(11)


def random_array(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


TENSORPACK = {
    "conv0/W": random_array(7, 7, 3, 64),
    "fastrcnn/fc6/W": random_array(256 * 7 * 7, 1024),
    "fastrcnn/fc6/b": random_array(1024),
    "fastrcnn/outputs/class/W": random_array(1024, CLASSES + 1),
    "fastrcnn/outputs/class/b": random_array(CLASSES + 1),
    "fastrcnn/outputs/box/W": random_array(1024, (CLASSES + 1) * 4),
    "fastrcnn/outputs/box/b": random_array((CLASSES + 1) * 4),
    "maskrcnn/deconv/W": random_array(2, 2, 256, 256),
    "maskrcnn/deconv/b": random_array(256),
    "maskrcnn/conv/W": random_array(1, 1, 256, CLASSES),
    "maskrcnn/conv/b": random_array(CLASSES),
}
DETECTRON = {
    "conv1_w": random_array(64, 3, 7, 7),
    "cls_score_w": random_array(CLASSES + 1, 1024),
    "cls_score_b": random_array(CLASSES + 1),
    "bbox_pred_w": random_array((CLASSES + 1) * 4, 1024),
    "bbox_pred_b": random_array((CLASSES + 1) * 4),
    "mask_fcn_logits_w": random_array(CLASSES + 1, 256, 1, 1),
    "mask_fcn_logits_b": random_array(CLASSES + 1),
}

FC6 = "roi_head.bbox_head.shared_fcs.0"


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """(kernel, bias) in our layout by "system/layer"."""
    folder = tmp_path_factory.mktemp("heads")
    np.savez(folder / "tensorpack.npz", **{f"{key}:0": value for key, value in TENSORPACK.items()})
    (folder / "detectron.pkl").write_bytes(pickle.dumps({"blobs": DETECTRON}, protocol=2))
    windows = {f"{FC6}.weight": 7}
    found = {}
    for path in folder.iterdir():
        arrays = load.read(path).arrays
        ours = {key: mmdet.from_source(key, value, windows) for key, value in arrays.items()}
        for key in [key for key in ours if key.endswith(".bias")]:
            name = key.removesuffix(".bias")
            found[f"{path.stem}/{name.rpartition('.')[2]}"] = (ours[f"{name}.weight"], ours[key])
            if "shared_fcs" in name:
                found[f"{path.stem}/fc6"] = (ours[f"{name}.weight"], ours[key])
    return found


def test_fc6_takes_features_flattened_channels_first(layers):
    pooled = random_array(3, 7, 7, 256)  # ours: B, height, width, channels
    kernel, bias = layers["tensorpack/fc6"]
    theirs = pooled.transpose(0, 3, 1, 2).reshape(3, -1) @ TENSORPACK["fastrcnn/fc6/W"] + TENSORPACK["fastrcnn/fc6/b"]
    np.testing.assert_allclose(pooled.reshape(3, -1) @ kernel + bias, theirs, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("system", ["tensorpack", "detectron"])
def test_background_is_first_there_and_last_here(layers, system):
    hidden = random_array(5, 1024)
    if system == "tensorpack":
        logits = hidden @ TENSORPACK["fastrcnn/outputs/class/W"] + TENSORPACK["fastrcnn/outputs/class/b"]
        deltas = hidden @ TENSORPACK["fastrcnn/outputs/box/W"] + TENSORPACK["fastrcnn/outputs/box/b"]
    else:
        logits = hidden @ DETECTRON["cls_score_w"].T + DETECTRON["cls_score_b"]
        deltas = hidden @ DETECTRON["bbox_pred_w"].T + DETECTRON["bbox_pred_b"]
    deltas = deltas.reshape(5, CLASSES + 1, 4)
    kernel, bias = layers[f"{system}/fc_cls"]
    ours = hidden @ kernel + bias
    np.testing.assert_allclose(ours[:, CLASSES], logits[:, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours[:, :CLASSES], logits[:, 1:], rtol=1e-4, atol=1e-4)
    kernel, bias = layers[f"{system}/fc_reg"]
    ours = (hidden @ kernel + bias).reshape(5, CLASSES, 4)  # as BoxHead reads it
    np.testing.assert_allclose(ours, deltas[:, 1:], rtol=1e-4, atol=1e-4)


def test_deltas_are_dx_dy_dw_dh_there_too():
    """The decoding of Detectron and tensorpack, whose weights of 10, 10, 5, 5 are our standard deviations."""
    delta, anchor = np.float32([0.7, -0.3, 0.4, -0.2]), np.float32([10, 20, 50, 100])
    dx, dy, dw, dh = delta / [10, 10, 5, 5]
    width, height = 40 * np.exp(dw), 80 * np.exp(dh)
    x, y = 30 + dx * 40, 60 + dy * 80
    theirs = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    stds = config_lib.mask_rcnn().model.box_head.box_stds
    np.testing.assert_allclose(boxes.BoxCoder(stds).decode(delta, anchor), theirs, rtol=1e-5)


def test_masks(layers):
    features = random_array(2, 14, 14, 256)
    kernel, bias = layers["tensorpack/upsample"]
    upsample = Upsample(256, 256, name="up", dtype="float32", initializer=Initializers(1).normal("up", 0.1))
    upsample.kernel.assign(kernel)
    upsample.bias.assign(bias)
    theirs = tf.nn.conv2d_transpose(features, TENSORPACK["maskrcnn/deconv/W"], [2, 28, 28, 256], 2)
    theirs = tf.nn.relu(theirs + TENSORPACK["maskrcnn/deconv/b"])
    np.testing.assert_allclose(interleave(upsample(features)), theirs, rtol=1e-3, atol=1e-2)
    # tensorpack has no masks of the background, Detectron has.
    np.testing.assert_array_equal(layers["tensorpack/conv_logits"][0], TENSORPACK["maskrcnn/conv/W"])
    kernel, bias = layers["detectron/conv_logits"]
    np.testing.assert_array_equal(kernel[0, 0], DETECTRON["mask_fcn_logits_w"][1:, :, 0, 0].T)
    np.testing.assert_array_equal(bias, DETECTRON["mask_fcn_logits_b"][1:])
