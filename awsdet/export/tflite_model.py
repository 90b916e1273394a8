"""A detector as a TensorFlow Lite model of built-in operators, and such models in TensorFlow's interpreter."""

import contextlib
import functools
import os
import pathlib
import sys
import tempfile
import types

import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from awsdet.export import contract, int8
from awsdet.export.converting import converting
from awsdet.export.graphs import Graphs
from awsdet.export.saved_model import quiet_tensorflow
from awsdet.ops import plain
from awsdet.runtime.errors import UserError, first_line

# Lists of tensors, as `tf.TensorArray` makes them, must have a shape that is known there.
_OPERATORS = types.SimpleNamespace(
    **{name: getattr(plain, name) for name in plain.__all__}
    | {"awsdet_roi_align": functools.partial(plain.awsdet_roi_align, lists=False)}
)


def save(detector, folder, about, batches=None):
    """Writes model.tflite, the graph `resized` of one image. The detector's `input_size` must be a Canvas.

    `folder`: it is written to, and made if needed. `about`: the dict of awsdet.json; its `precision` is float32,
    float16 (of the weights; TensorFlow Lite computes in float32 on a CPU) or int8. `batches`: see `int8.quantize`,
    which changes the detector. Raises CannotConvert.
    """
    precision = about.get("precision", "float32")
    operators = _OPERATORS
    if precision == "int8":
        int8.quantize(detector, batches)
        operators = types.SimpleNamespace(**vars(_OPERATORS) | {"awsdet_roi_align": _fenced_roi_align})
    graphs = Graphs(detector, about["category_ids"], about["masks"], operators, images=1)
    module = tf.Module()
    module.weights = list(graphs.resized.graph.variables)
    with tempfile.TemporaryDirectory() as place, quiet_tensorflow(), _quiet_converter():
        tf.saved_model.save(module, place, {contract.RESIZED: graphs.resized})
        converter = tf.lite.TFLiteConverter.from_saved_model(place, signature_keys=[contract.RESIZED])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            # Else it would give ranges of its own to operators that compute boxes and scores.
            converter._experimental_low_bit_qat = True
        with converting("TensorFlow Lite"):
            model = converter.convert()
    if precision == "int8":
        model = _with_shared_buffers(model)
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(folder) / contract.FILES["tflite"]).write_bytes(model)


def _fenced_roi_align(*, pyramid, **rest):
    return int8.fence(_OPERATORS.awsdet_roi_align(pyramid=[int8.fence(features) for features in pyramid], **rest))


def _with_shared_buffers(model):
    """The model, bytes, with equal constants stored once: the kernels that `int8` told apart for the converter."""
    parsed = flatbuffer_utils.convert_bytearray_to_object(model)
    first = {}
    same = {}
    for number, buffer in enumerate(parsed.buffers):
        if buffer.data is not None and len(buffer.data):
            same[number] = first.setdefault(bytes(buffer.data), number)
    for graph in parsed.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = same.get(tensor.buffer, tensor.buffer)
    for number in same:
        if same[number] != number:
            parsed.buffers[number].data = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))


class Runner:
    """A TensorFlow Lite model in this process.

    Attributes:
        signatures: name -> function of arrays, see `contract`; a model has one.

    Raises UserError if it cannot be loaded.
    """

    def __init__(self, folder):
        path = pathlib.Path(folder) / contract.FILES["tflite"]
        try:
            self._interpreter = tf.lite.Interpreter(str(path))
            signature = self._interpreter.get_signature_runner(contract.RESIZED)
        except (OSError, ValueError, RuntimeError) as error:
            line = f"TensorFlow Lite cannot load {path} ({first_line(error)}); export the model again"
            raise UserError(line) from error
        self.signatures = {contract.RESIZED: signature}


@contextlib.contextmanager
def _quiet_converter():
    """The converter writes tables of what it is made of to the standard error itself, past Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
