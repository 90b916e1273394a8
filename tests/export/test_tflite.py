"""TensorFlow Lite models: built-in operators only, the detector's numbers."""

import pytest
import tensorflow as tf

from awsdet.cli import main as cli
from awsdet.data.reader.sizes import Canvas
from awsdet.export import tflite_model
from awsdet.export.check import compare
from awsdet.export.exported import Exported
from awsdet.ops import library
from awsdet.runtime.errors import UserError
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.export.test_saved_model import built, pictures, saved


def operators(path):
    """Names of all operators in a file; those of TensorFlow, which need more than the interpreter, begin with Flex."""
    interpreter = tf.lite.Interpreter(str(path))
    return {details["op_name"] for details in interpreter._get_ops_details()}


def test_the_numbers_of_the_detector(tmp_path):
    """Every part of the family but RetinaNet's head: a cascade of RoIs would only repeat them."""
    made = built(tmp_path, "mask_scoring_rcnn")
    made.input_size = Canvas(100, 150)
    exported = saved(made, tmp_path / "1", "crop", "tflite")
    names = operators(tmp_path / "1/model.tflite")
    assert "WHILE" in names and not [name for name in names if name.startswith("Flex") or "Awsdet" in name]
    found = compare(made, exported, pictures(64, 150))
    assert found.objects >= 5 and found.masks is not None and found.holds(), found
    # Nothing is kept from one image to the next.
    (image,) = pictures(120)
    first, second = exported.find(image), exported.find(image)
    assert first.scores.tolist() == second.scores.tolist()


def test_from_a_checkpoint(tmp_path, capsys):
    save_checkpoint(tmp_path / "run", ("cat", "dog", "bird"), (3, 17, 90))
    arguments = [f"--checkpoint={tmp_path / 'run'}", f"--output={tmp_path / 'models'}", "--target=tflite"]
    assert cli.main(["export", *arguments, "--size=96x128", "--masks=none"]) == 0
    assert "boxes     differ by at most" in capsys.readouterr().out
    found = Exported(tmp_path / "models").find(pictures(150)[0])
    assert len(found.scores) > 0 and found.masks is None and set(found.names) <= {"cat", "dog", "bird"}
    (tmp_path / "models/1/model.tflite").write_bytes(b"nothing")
    with pytest.raises(UserError, match="TensorFlow Lite cannot load .*model.tflite"):
        Exported(tmp_path / "models")


def test_operators_that_are_unknown_there_are_named(tmp_path, capsys, monkeypatch):
    """A detector has none, so one is traced with awsdet's own."""
    monkeypatch.setattr(tflite_model, "_OPERATORS", library.compiled())
    save_checkpoint(tmp_path / "run", ("cat", "dog", "bird"), (3, 17, 90))
    arguments = [f"--checkpoint={tmp_path / 'run'}", f"--output={tmp_path / 'models'}", "--target=tflite"]
    assert cli.main(["export", *arguments, "--size=64x64", "--masks=none"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("awsdet export: TensorFlow Lite cannot convert this detector: it does not know Awsdet")
    assert "AwsdetNms" in error and error.endswith("; nothing was kept")
    assert not list((tmp_path / "models").iterdir())
