"""Files of an export that TensorFlow cannot use are named in one line."""

import json

import pytest
import tensorflow as tf

from awsdet.export.contract import INFO
from awsdet.export.loading import load_graph
from awsdet.runtime.errors import UserError
from tests.serve import tiny_model


@pytest.fixture
def folder(tmp_path):
    return tiny_model.write(tmp_path) / "3"


def test_an_operator_of_another_tensorflow(folder):
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"DecodeImage", b"DecodeLater"))
    info = json.loads((folder / INFO).read_text())
    (folder / INFO).write_text(json.dumps({**info, "versions": {"tensorflow": "9.1.0"}}))
    with pytest.raises(UserError, match="'DecodeLater'.*export the model again: TensorFlow 9.1.0 wrote it, and this"):
        load_graph(folder)


def test_half_a_graph(folder):
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot load .*; export the model again$"):
        load_graph(folder)


def test_variables_that_are_cut_off_and_other_signatures(folder):
    module = tf.Module()
    module.weight = tf.Variable(tf.zeros(1000))
    module.sum = tf.function(lambda: {"sum": tf.reduce_sum(module.weight)}, input_signature=[])
    tf.saved_model.save(module, str(folder), signatures={"sum": module.sum})
    with pytest.raises(UserError, match="has no signature pixels, serving_default; export"):
        load_graph(folder)
    data = folder / "variables/variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot load .*; export the model again$"):
        load_graph(folder)
