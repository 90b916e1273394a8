"""A detector as a SavedModel whose graphs hold nothing but TensorFlow's own operators, unless it asks for ours."""

import contextlib
import pathlib
import shutil

import tensorflow as tf
from absl import logging

from awsdet.export import contract, warm_up
from awsdet.export.graphs import Graphs
from awsdet.export.loading import load_graph
from awsdet.ops import library, plain


def save(detector, folder, about):
    """Writes a SavedModel with the signatures of `contract`.

    `folder`: it is written to, and made if needed. `about`: the dict of awsdet.json, with `category_ids`, `masks` and,
    if they are to be the compiled ones, `operators`.
    """
    compiled = about.get("operators") == "compiled"
    operators = library.compiled() if compiled else plain
    graphs = Graphs(detector, about["category_ids"], about["masks"], operators)
    module = tf.Module()  # it must not hold the detector itself: Keras would save its graph of training too
    module.weights = list(graphs.resized.graph.variables)
    signatures = {
        contract.ENCODED: graphs.encoded,
        contract.PIXELS: graphs.pixels,
        contract.RESIZED: graphs.resized,
    }
    with quiet_tensorflow():
        tf.saved_model.save(module, str(folder), signatures)
    if compiled:
        shutil.copyfile(library.PATH, pathlib.Path(folder) / contract.LIBRARY)
    warm_up.write(folder, about["name"])


class Runner:
    """A SavedModel in this process.

    Attributes:
        signatures: name -> function of tensors, see `contract`.

    Raises UserError if TensorFlow cannot load it.
    """

    def __init__(self, folder):
        self._model = load_graph(folder)
        self.signatures = dict(self._model.signatures)

    def detect(self, pixels):
        """The outputs for one image, uint8 [H, W, 3], in its pixels: a dict of arrays without the axis B."""
        outputs = self.signatures[contract.PIXELS](image=tf.constant(pixels[None]))
        return {name: value[0].numpy() for name, value in outputs.items()}


@contextlib.contextmanager
def quiet_tensorflow():
    """TensorFlow would list hundreds of inputs of inner functions that it renames."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
