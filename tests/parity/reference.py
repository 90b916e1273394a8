"""A reference file (docs/parity.md describes them): its model as our detector with its weights, and its batch."""

import contextlib
import json
import pickle
import zipfile
from types import ModuleType
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from awsdet.models.builder import build
from awsdet.runtime.errors import UserError
from awsdet.weights import mmdet
from tests.parity import batch as batch_lib
from tests.parity import cascade, dense, parts, two_stage
from tests.parity.options import Options
from tests.parity.rows import GIVEN

# The reference's model type -> the module that translates its config and makes the comparisons peculiar to it. It has
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
    config: ConfigDict
    detector: tf.keras.Model
    images: tf.Tensor  # normalised, float32 [B, H, W, 3]
    batch: dict


class Arrays(dict):
    """The arrays of a file by their keys."""

    def __missing__(self, key):
        raise UserError(f"the file has no {key}; give one as tests/fixtures/parity holds them")


def read(path):
    """The Arrays of an npz file. Raises UserError if it cannot be read."""
    try:
        with np.load(path) as file:
            return Arrays((key, file[key]) for key in file.files)
    except OSError as error:
        raise UserError(f"the file cannot be read ({error.strerror or error})") from error
    except (AttributeError, EOFError, TypeError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UserError("this is no npz file of plain arrays, or a broken one") from error


def load(path):
    """The Reference of one model file. Raises what `read` and `from_arrays` raise."""
    return from_arrays(read(path))


def from_arrays(arrays):
    """The Reference of a model file's Arrays. Everything about the model comes from `meta` and `model_config`.

    Raises UserError if it is not a model file, ValueError if we have no such model or option.
    """
    meta, options = _json(arrays, "meta"), Options(_json(arrays, "model_config"))
    kind = KINDS.get(options.get("type"))
    if kind is None:
        raise ValueError(f"the model is a {options.get('type')}; we have {', '.join(KINDS)}")
    parts.images(options)
    config = kind.config(options)
    options.check_all_read()
    detector = build(config, [f"class {i}" for i in range(meta["num_classes"])])
    weights = {key.removeprefix("weights/"): value for key, value in arrays.items() if key.startswith("weights/")}
    mmdet.assign(detector, weights)
    images = tf.constant(arrays["image_nchw"].transpose(0, 2, 3, 1))
    return Reference(arrays, meta, kind, config, detector, images, batch_lib.read(arrays))


def _json(arrays, key):
    try:
        return json.loads(str(arrays[key]))
    except ValueError as error:
        raise UserError(f"{key} is no JSON ({error})") from error


def given_features(reference, kind):
    """The reference's own features, each [B, H, W, C] in the images' dtype: C2 to C5, or the P levels of the neck."""
    first, count = 2, 4
    if kind == "P":
        first, count = reference.detector.neck.start_level + 2, reference.detector.neck.num_outs
    arrays = [reference.arrays[f"forward/{kind}{level}_nchw"] for level in range(first, first + count)]
    return [tf.constant(array.transpose(0, 2, 3, 1), reference.images.dtype) for array in arrays]


def stages_from_given(reference):
    """C2 as our backbone computes it, and C3 to C5 each computed from the reference's previous feature.

    Gradients flow through all stages.
    """
    backbone = reference.detector.backbone
    outputs = backbone(reference.images)[:1]
    for stage, features in zip(backbone.stages[1:], given_features(reference, "C")):
        features = _in_place_of(outputs[-1], features)
        for block in stage:
            features = block(features)
        outputs.append(features)
    return outputs


@contextlib.contextmanager
def features_given(reference):
    """A context in which training sees the reference's features in place of ours.

    They replace ours after every stage of the backbone and after the neck, so that rounding adds up over only one of
    these parts at a time. Gradients flow as if the features were ours.

    The file holds the features of inference. If the backbone normalises by the batch, those of training differ, so ours
    are kept. Yields the words that a row adds to its name.
    """
    detector = reference.detector
    if reference.config.model.backbone.norm != "frozen_batch_norm":
        yield ""
        return

    def given(images, training=False):
        stages = map(_in_place_of, stages_from_given(reference), given_features(reference, "C"))
        pyramid = detector.neck(list(stages), training=training)
        return list(map(_in_place_of, pyramid, given_features(reference, "P")))

    detector.pyramid = given
    try:
        yield GIVEN
    finally:
        del detector.pyramid


def _in_place_of(ours, theirs):
    """The value of `theirs` with the gradient of `ours`."""
    return theirs + (ours - tf.stop_gradient(ours))
