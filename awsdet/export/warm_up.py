"""Requests that TensorFlow Serving answers for itself when it loads a model, so that the first user does not wait.

It reads them from assets.extra/tf_serving_warmup_requests, a TFRecord of messages `PredictionLog`. Their definitions
(tensorflow_serving/apis: prediction_log.proto, predict.proto, model.proto) come with a package that nothing else here
needs; the few fields are written by hand.
"""

import pathlib

import numpy as np
import tensorflow as tf

from awsdet.data.coco.shapes import draw_image
from awsdet.export import contract

FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
_SIDE = 640  # px, of the image
_PREDICT_LOG, _REQUEST = 6, 1  # fields of PredictionLog, PredictLog
_MODEL_SPEC, _INPUTS = 1, 2  # of PredictRequest
_NAME, _SIGNATURE = 1, 3  # of ModelSpec
_KEY, _VALUE = 1, 2  # of an entry of a map


def write(folder, name):
    """One request with one drawn JPEG for the model `name`. `folder`: of the SavedModel."""
    image, *_ = draw_image(_SIDE, np.random.default_rng(0))
    encoded = tf.io.encode_jpeg(image).numpy()
    file = pathlib.Path(folder) / FILE
    file.parent.mkdir()
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(_request(name, contract.ENCODED, "image_bytes", tf.constant([encoded])))


def _request(name, signature, key, tensor):
    """A serialised PredictionLog."""
    entry = _field(_KEY, key.encode()) + _field(_VALUE, tf.make_tensor_proto(tensor).SerializeToString())
    spec = _field(_NAME, name.encode()) + _field(_SIGNATURE, signature.encode())
    return _field(_PREDICT_LOG, _field(_REQUEST, _field(_MODEL_SPEC, spec) + _field(_INPUTS, entry)))


def _field(number, content):
    """A field of bytes, a string or a message: its key of wire type 2, its length, its content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
