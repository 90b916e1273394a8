"""ONNX models: standard operators, the detector's numbers, in a process that has neither TensorFlow nor awsdet."""

import json
import subprocess
import sys
import sysconfig

import numpy as np
import pytest
import tensorflow as tf

import awsdet
from awsdet.cli import main as cli
from awsdet.data.reader.sizes import Canvas
from awsdet.export import contract, onnx_model
from awsdet.export.check import compare
from awsdet.export.converting import CannotConvert
from awsdet.export.half import halve
from awsdet.export.onnx_operators import HANDLERS, OPERATORS, resize
from awsdet.runtime.errors import UserError
from tests.environments import environment
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.export.test_saved_model import built, pictures, saved

# What a user of onnxruntime alone does.
ALONE = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = np.load(sys.argv[2])
names = [one.name for one in session.get_outputs()]
found = dict(zip(names, session.run(names, {"image": np.stack([image, image[:, ::-1]])})))
print(json.dumps({"domains": sorted(name for name in sys.modules if name in ("tensorflow", "awsdet")),
                  "metadata": session.get_modelmeta().custom_metadata_map,
                  **{name: value.tolist() for name, value in found.items() if name != "masks"}}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of its environment; this process can import its packages, and takes from it what it has not itself."""
    place = environment("onnx")
    sys.path.append(sysconfig.get_path("purelib", vars={"base": place}))
    yield place
    sys.path.pop()


def test_onnxruntime_alone_finds_what_the_checkpoint_finds(folder, tmp_path, capsys):
    save_checkpoint(tmp_path / "run", ("cat", "dog", "bird"), (3, 17, 90))
    arguments = [f"--checkpoint={tmp_path / 'run'}", f"--output={tmp_path / 'models'}", "--target=onnx"]
    assert cli.main(["export", *arguments, "--max-detections=4"]) == 0
    assert "boxes     differ by at most" in capsys.readouterr().out
    (image,) = pictures(150)
    np.save(tmp_path / "image.npy", image)
    command = [folder / "bin/python", "-c", ALONE, tmp_path / "models/1/model.onnx", tmp_path / "image.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = json.loads(done.stdout.splitlines()[-1])
    assert outputs["domains"] == []
    assert json.loads(outputs["metadata"]["class_names"]) == ["cat", "dog", "bird"]
    detector = awsdet.load(tmp_path / "run")
    for index, one in enumerate((image, np.ascontiguousarray(image[:, ::-1]))):
        found = detector.find(one)
        count = outputs["count"][index]
        assert len(outputs["scores"][index]) == 4 and count == min(4, len(found.scores)) > 0
        np.testing.assert_allclose(outputs["boxes"][index][:count], found.boxes[:count], atol=0.05)
        np.testing.assert_allclose(outputs["scores"][index][:count], found.scores[:count], atol=1e-4)
        ids = [(3, 17, 90)[label] for label in found.classes[:count]]
        assert outputs["category_ids"][index] == ids + [-1] * (4 - count)
    assert outputs["image_size"] == [list(image.shape[:2])] * 2


def test_a_fixed_size_has_no_dimension_that_is_unknown(folder, tmp_path):
    made = built(tmp_path, "cascade_mask_rcnn")
    made.input_size = Canvas(100, 150)
    exported = saved(made, tmp_path / "1", "crop", "onnx")
    assert exported._runner.inputs == {"image": [1, 128, 160, 3], "image_size": [1, 2]}
    (signature,) = exported.signatures
    assert signature == contract.RESIZED
    outputs = exported.signatures[signature](
        image=np.zeros([1, 128, 160, 3], np.uint8), image_size=np.array([[100, 150]], np.int32)
    )
    assert outputs["boxes"].shape == (1, 10, 4)
    found = compare(made, exported, pictures(64, 150))
    assert found.objects >= 5 and found.masks is not None and found.holds(), found


def test_half_precision_has_half_the_size(folder, tmp_path):
    import onnx

    made = built(tmp_path, "mask_rcnn", "model.precision=mixed_float16")
    found = [made.find(image) for image in pictures(64, 150)]
    halve(made)
    made.input_size = Canvas(96, 150)
    exported = saved(made, tmp_path / "1", "crop", "onnx")
    model = onnx.load(tmp_path / "1/model.onnx")
    weights = sum(np.prod(one.dims) for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16)
    assert weights > 0.9 * sum(np.prod(one.shape) for one in made.trainable_variables)
    for one, before in zip(pictures(64, 150), found):
        now = exported.find(one)
        assert len(now.scores) >= 5 and abs(now.scores[0] - before.scores[0]) < 0.02


@pytest.mark.parametrize(
    "before,after", [((7, 9), (31, 20)), ((64, 48), (64, 48)), ((90, 33), (17, 80)), ((1, 5), (9, 1))]
)
def test_images_are_resized_as_by_tensorflow(before, after):
    image = np.random.default_rng(4).integers(0, 256, (2, *before, 3), np.uint8)
    np.testing.assert_array_equal(resize(image, tf.constant(after)), tf.image.resize(image, after))


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_nms(folder, method):
    """Minus infinity stands for what is gone, also in the bodies of loops."""
    import onnxruntime
    import tf2onnx

    random = np.random.default_rng(0)
    corners = random.uniform(0, 50, (2, 30, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 30, (2, 30, 2))], axis=2).astype(np.float32)
    given = {
        "boxes": boxes,
        "scores": random.uniform(0, 1, (2, 30)).astype(np.float32),
        "classes": random.integers(0, 2, (2, 30)).astype(np.int32),
    }
    specs = [tf.TensorSpec([None, None, *value.shape[2:]], value.dtype, name) for name, value in given.items()]
    rules = {"iou_threshold": 0.5, "score_threshold": 0.6, "max_output": 20, "method": method, "sigma": 0.5}

    @tf.function(input_signature=specs, autograph=False)
    def suppressed(*values):
        kept = OPERATORS.awsdet_nms(**dict(zip(given, values)), **rules)
        return {"index": kept[0], "kept": kept[1], "count": kept[2]}

    model, _ = tf2onnx.convert.from_function(suppressed, specs, opset=onnx_model.OPSET, custom_op_handlers=HANDLERS)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = suppressed(*given.values())
    assert 5 < min(expected["count"]) < 20
    for name, value in expected.items():
        np.testing.assert_allclose(session.run([name], given)[0], value, rtol=1e-5)


def test_operators_that_are_not_of_onnx_are_named(folder):
    """Also those in the body of a loop."""
    from onnx import TensorProto, helper

    def model(inner, outer="Add"):
        bodies = [helper.make_graph([helper.make_node(inner, ["a"], ["b"])], "body", [], [])] * 2
        kinds = dict(zip(("then_branch", "else_branch"), bodies))
        nodes = [helper.make_node("If", ["c"], ["d"], **kinds), helper.make_node(outer, ["a", "a"], ["e"])]
        condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        return helper.make_model(helper.make_graph(nodes, "graph", [condition], []))

    onnx_model._check_operators(model("Neg"))
    with pytest.raises(CannotConvert, match="it does not know AwsdetNms$"):
        onnx_model._check_operators(model("Neg", "AwsdetNms"))
    with pytest.raises(CannotConvert, match="it does not know AwsdetNms$"):
        onnx_model._check_operators(model("AwsdetNms"))


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime is missing; ONNX models need it:  pip install tf2onnx"):
        onnx_model.check_packages()
    with pytest.raises(UserError, match="onnxruntime is missing; .* needs it"):
        onnx_model.Runner(tmp_path)
