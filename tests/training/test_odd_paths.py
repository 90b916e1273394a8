"""Run folders whose names are patterns, or no text, for TensorFlow."""

import os

import numpy as np
import pytest
import tensorflow as tf

from awsdet.inference.checkpoint import State
from awsdet.training.checkpoint import Checkpoints
from awsdet.training.logs import write_scalars
from awsdet.training.run_folder import RunFolder
from tests.runtime.test_paths import ODD_NAMES, WORST_NAME

NAMES = [name for name in ODD_NAMES if len(name) < 100]


@pytest.mark.parametrize("name", [*NAMES, WORST_NAME], ids=ascii)
def test_a_checkpoint_is_written_found_and_read(tmp_path, name):
    run = RunFolder(tmp_path / name)
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, name="first")])
    model(tf.ones([1, 3]))
    sgd = tf.keras.optimizers.legacy.SGD()
    run.checkpoints.save(model, sgd, {"step": 1})
    state = State(Checkpoints(tmp_path / name / "checkpoints").newest())
    kernel = next(name for name in state.names() if "kernel" in name)
    np.testing.assert_array_equal(state.read(kernel), model.layers[0].kernel.numpy())


def test_tensorboard_writes_there(tmp_path):
    writer = tf.summary.create_file_writer(os.fsencode(tmp_path / WORST_NAME))
    write_scalars(writer, "a/", {"step": 1, "loss": 2.0})
    writer.close()
    assert [path.name.startswith("events.out") for path in (tmp_path / WORST_NAME).iterdir()] == [True]
