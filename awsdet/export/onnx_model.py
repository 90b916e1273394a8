"""A detector as an ONNX model of standard operators, and ONNX models in onnxruntime."""

import contextlib
import json
import pathlib

import numpy as np
import tensorflow as tf

from awsdet.data.reader.sizes import Canvas
from awsdet.export import contract
from awsdet.export.converting import CannotConvert, converting
from awsdet.export.graphs import Graphs
from awsdet.runtime.errors import UserError, first_line

OPSET = 17
PACKAGES = "pip install tf2onnx==1.17.0 onnx==1.17.0 onnxruntime"
_INPUTS = ("image", "image_size")  # in this order


def check_packages():
    """Raises UserError if a package that makes or runs ONNX models is missing."""
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is missing; ONNX models need it:  {PACKAGES}") from error


def save(detector, folder, about):
    """Writes model.onnx: the graph `pixels` of any size; or `resized` of one image, if `input_size` is a Canvas.

    `folder`: it is written to, and made if needed. `about`: the dict of awsdet.json, which the model's metadata repeat.
    Raises CannotConvert.
    """
    import tf2onnx

    from awsdet.export import onnx_operators

    fixed = isinstance(detector.input_size, Canvas)
    graphs = Graphs(
        detector,
        about["category_ids"],
        about["masks"],
        onnx_operators.OPERATORS,
        onnx_operators.resize,
        images=1 if fixed else None,
    )
    traced = graphs.resized if fixed else graphs.pixels
    names = _INPUTS[: 2 if fixed else 1]
    specs = [tf.TensorSpec(one.shape, one.dtype, name) for name, one in zip(names, traced.inputs)]

    @tf.function(input_signature=specs, autograph=False)
    def outputs(*values):
        found = dict(traced(**dict(zip(names, values))))
        found.pop("class_names", None)  # many runtimes know no strings; the names are among the metadata
        return found

    with _quiet(), converting("tf2onnx"):
        handlers = onnx_operators.HANDLERS
        model, _ = tf2onnx.convert.from_function(outputs, specs, opset=OPSET, custom_op_handlers=handlers)
    _check_operators(model)
    for name, value in about.items():
        model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    (pathlib.Path(folder) / contract.FILES["onnx"]).write_bytes(model.SerializeToString())


def _check_operators(model):
    """Raises CannotConvert for operators that are not ONNX's: tf2onnx leaves those that it does not know."""
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    strange = sorted({node.op_type for node in _nodes(model.graph)} - known)
    if strange:
        raise CannotConvert(f"tf2onnx cannot convert this detector: it does not know {', '.join(strange)}")


def _nodes(graph):
    """All nodes of a graph, also those of the bodies of its loops and conditions."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


class Runner:
    """An ONNX model in onnxruntime, on the CPU.

    Attributes:
        signatures: name -> function of arrays, see `contract`; a model has one.
        inputs: name -> shape, with names for what is not fixed.

    Raises UserError if onnxruntime is missing, or cannot load it.
    """

    def __init__(self, folder):
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"onnxruntime is missing; {folder} needs it:  {PACKAGES}") from error
        try:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            path = str(pathlib.Path(folder) / contract.FILES["onnx"])
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own, which derive from nothing narrower
            line = f"onnxruntime cannot load {folder} ({first_line(error)}); export the model again"
            raise UserError(line) from error
        self.inputs = {one.name: one.shape for one in self._session.get_inputs()}
        self._outputs = [one.name for one in self._session.get_outputs()]
        signature = contract.RESIZED if "image_size" in self.inputs else contract.PIXELS
        self.signatures = {signature: self._run}

    def detect(self, pixels):
        """See `saved_model.Runner.detect`."""
        return {name: value[0] for name, value in self.signatures[contract.PIXELS](image=pixels[np.newaxis]).items()}

    def _run(self, **inputs):
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs)))


@contextlib.contextmanager
def _quiet():
    """tf2onnx would tell of each pass over the graph, and of an operator that it cannot convert in many lines."""
    import tf2onnx

    logger = tf2onnx.logging.getLogger("tf2onnx")
    before = logger.level
    logger.setLevel("CRITICAL")
    try:
        yield
    finally:
        logger.setLevel(before)
