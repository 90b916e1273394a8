"""A reference file (see tests/fixtures/parity): its model with its weights, and its batch, in our terms."""

import contextlib
import json
from types import ModuleType
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.models import build
from awsdet.weights import mmdet
from tests.parity import batch as batch_lib
from tests.parity import cascade, dense, parts, two_stage
from tests.parity.options import Options

# The reference's model type -> the module that translates its config and compares what is particular to it. It has
#   config(options)                        our config
#   loss_key(name)                         the reference's name of our loss term
#   forward_rows(reference, pyramid)       outputs of the first head on the pyramid
#   inference_rows(reference, pyramid)     proposals, detections, masks
#   target_rows(reference, outputs)        targets of a training step, from `training_outputs`
#   mask_target_rows(reference, outputs, source)   only where the file has mask targets
KINDS = {
    "FasterRCNN": two_stage,
    "MaskRCNN": two_stage,
    "MaskScoringRCNN": two_stage,
    "CascadeRCNN": cascade,
    "RetinaNet": dense,
}


class Reference(NamedTuple):
    arrays: dict
    meta: dict
    kind: ModuleType
    detector: tf.keras.Model
    images: tf.Tensor  # normalised, float32 [B, H, W, 3]
    batch: dict


def load(path):
    """Reads one model file; everything about the model comes from its `meta` and `model_config`.

    Raises ValueError for a model or an option that ours cannot be.
    """
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    meta, options = json.loads(str(arrays["meta"])), Options(json.loads(str(arrays["model_config"])))
    kind = KINDS.get(options.get("type"))
    if kind is None:
        raise ValueError(f"{path}: the model is a {options.get('type')}; we have {', '.join(KINDS)}")
    parts.images(options)
    config = kind.config(options)
    options.check_all_read()
    detector = build(config.model, [f"class {i}" for i in range(meta["num_classes"])])
    weights = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    mmdet.assign(detector, weights)
    images = tf.constant(arrays["image_nchw"].transpose(0, 2, 3, 1))
    return Reference(arrays, meta, kind, detector, images, batch_lib.read(arrays))


def given_features(reference, kind):
    """The reference's own features, a list of float32 [B, H, W, C]: C2 to C5, or the P levels of the neck."""
    first, count = 2, 4
    if kind == "P":
        first, count = reference.detector.neck.start_level + 2, reference.detector.neck.num_outs
    levels = range(first, first + count)
    return [tf.constant(reference.arrays[f"forward/{kind}{level}_nchw"].transpose(0, 2, 3, 1)) for level in levels]


@contextlib.contextmanager
def features_given(reference):
    """Inside, the heads see the reference's features in place of ours, which differ in rounding; gradients reach ours.

    The features in the file are those of inference: for a backbone that normalises by the batch they would be others
    in training, so there ours are left.
    """
    detector, theirs = reference.detector, given_features(reference, "P")
    if detector.settings.backbone.norm != "frozen_batch_norm":
        yield
        return
    pyramid = detector.pyramid

    def given(images, training=False):
        return [b + (a - tf.stop_gradient(a)) for a, b in zip(pyramid(images, training=training), theirs)]

    detector.pyramid = given
    try:
        yield
    finally:
        del detector.pyramid
