"""`awsdet export`, from a checkpoint to detections in a process that has no awsdet."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import awsdet
from awsdet.cli import main as cli
from awsdet.data.reader.sizes import Canvas
from awsdet.export import contract
from awsdet.export import export as export_module
from awsdet.export.export import CheckFailed, export
from awsdet.runtime.errors import UserError
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.serve.running import b64, serve

# What a user of TensorFlow alone does. Imports of awsdet fail, as where it is not installed.
ALONE = """
import json, sys
sys.modules["awsdet"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
data = tf.io.read_file(sys.argv[2])
found = model.signatures["serving_default"](image_bytes=tf.stack([data, data]))
print(json.dumps({name: value.numpy().astype(str if name == "class_names" else float).tolist()
                  for name, value in found.items() if name != "masks"}))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with a run, an image, and the model that was exported from the run."""
    folder = tmp_path_factory.mktemp("export")
    save_checkpoint(folder / "run", ("cat", "dog", "bird"), (3, 17, 90))
    random = np.random.default_rng(2)
    small = Image.fromarray(random.integers(0, 255, (6, 8, 3), np.uint8)).resize((140, 90), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    small.save(folder / "turned.jpg", exif=exif.tobytes(), quality=90)
    arguments = ["export", f"--checkpoint={folder / 'run'}", f"--output={folder / 'models'}"]
    assert cli.main([*arguments, f"--images={folder / 'turned.jpg'}"]) == 0
    return folder


def test_a_process_without_awsdet_finds_the_same(exported):
    command = [sys.executable, "-c", ALONE, exported / "models/1", exported / "turned.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=exported)
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = json.loads(done.stdout.splitlines()[-1])
    found = awsdet.load(exported / "run").find(exported / "turned.jpg")
    count = len(found.scores)
    assert count > 0 and outputs["count"] == [count, count]
    assert outputs["image_size"] == [[140, 90]] * 2
    for index in range(2):
        np.testing.assert_allclose(outputs["boxes"][index][:count], found.boxes, atol=0.05)
        np.testing.assert_allclose(outputs["scores"][index][:count], found.scores, atol=1e-4)
        assert outputs["class_names"][index][:count] == found.names


def test_it_is_served(exported):
    """By REST as TensorFlow Serving answers, and to SageMaker: what the checkpoint finds."""
    found = awsdet.load(exported / "run").find(exported / "turned.jpg")
    data = (exported / "turned.jpg").read_bytes()
    server = serve(exported / "models")
    try:
        server.until(lambda health: health["state"] == "ready")
        requests = (
            ("/v1/models/small:predict", {"instances": [b64(data)]}, {}),
            ("/invocations", data, {"Content_Type": "image/jpeg"}),
        )
        for path, body, headers in requests:
            status, answer, _ = server.ask("POST", path.replace("small", name_of(server)), body, **headers)
            assert status == 200, answer
            (prediction,) = answer["predictions"]
            count = prediction["count"]
            assert count == len(found.scores) and prediction["class_names"][:count] == found.names
            np.testing.assert_allclose(prediction["boxes"][:count], found.boxes, atol=0.05)
    finally:
        server.process.terminate()
        assert server.process.wait(60) == 0
        server.process.stderr.close(), server.process.stdout.close()


def name_of(server):
    return server.ask("GET", "/health")[1]["model"]


def test_the_folder_tells_what_it_is(exported):
    info = contract.read_info(exported / "models/1")
    assert (info["class_names"], info["category_ids"]) == (["cat", "dog", "bird"], [3, 17, 90])
    assert info["check"]["objects"] > 0 and info["check"]["unmatched"] == 0
    assert "cat, dog, bird" in (exported / "models/1" / contract.CARD).read_text()


def test_loaded_by_its_folder_or_number(exported):
    loaded = awsdet.load(exported / "models")
    found = loaded.find(exported / "turned.jpg", score_threshold=0.3)
    assert loaded.class_names == ("cat", "dog", "bird") and all(found.scores >= 0.3)
    with pytest.raises(ValueError, match="score_threshold is 2"):
        loaded.find(exported / "turned.jpg", score_threshold=2)


def test_one_size_for_all_images_and_fewer_objects(exported):
    arguments = [f"--checkpoint={exported / 'run'}", f"--output={exported / 'fixed'}"]
    assert cli.main(["export", *arguments, "--size=100x150", "--max-detections=3"]) == 0
    loaded = awsdet.load(exported / "fixed")
    assert loaded.info["size"] == {"height": 100, "width": 150, "pad_multiple": 32}
    specs = loaded.signatures[contract.RESIZED].structured_input_signature[1]
    assert specs["image"].shape.as_list() == [None, 128, 160, 3]
    detector = awsdet.load(exported / "run")
    detector.input_size = Canvas(100, 150)
    ours, theirs = (one.find(exported / "turned.jpg") for one in (detector, loaded))
    assert len(ours.scores) > 3 == len(theirs.scores)
    np.testing.assert_allclose(theirs.boxes, ours.boxes[:3], atol=0.05)


def test_weights_alone(exported, capsys):
    arguments = [f"--checkpoint={exported / 'run'}", f"--output={exported / 'weights'}", "--target=weights"]
    assert cli.main(["export", *arguments]) == 0
    assert "the arrays are equal" in capsys.readouterr().out
    ours, theirs = awsdet.load(exported / "run"), awsdet.load(exported / "weights")
    assert theirs.class_names == ("cat", "dog", "bird") and theirs.input_size == ours.input_size
    for one, other in zip(ours.variables, theirs.variables):
        np.testing.assert_array_equal(one, other)


def test_damaged_information_is_named(tmp_path):
    for text, named in (
        ("{", "cannot read awsdet.json"),
        ("[]", "does not say"),
        (
            json.dumps({"format": contract.FORMAT, "name": "a", "masks": "crop"}),
            "has no usable category_ids, no usable class_names, no usable mask",
        ),
    ):
        (tmp_path / contract.INFO).write_text(text)
        with pytest.raises(UserError, match=named):
            awsdet.load(tmp_path)


def test_a_failed_check_leaves_nothing(exported, monkeypatch, tmp_path):
    """What is written is the right model; that its numbers are wrong is made so by the limit."""
    monkeypatch.setitem(
        export_module.WRITERS, "savedmodel", lambda _, folder, __: shutil.copytree(exported / "models/1", folder)
    )
    monkeypatch.setattr("awsdet.export.check.SCORE", -1.0)
    monkeypatch.setattr("awsdet.export.export._drawn", lambda: [np.zeros((64, 64, 3), np.uint8)])
    with pytest.raises(CheckFailed):
        export(exported / "run", tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


@pytest.mark.parametrize(
    "arguments,named",
    [
        ([], "--checkpoint is missing"),
        (["--checkpoint=/nowhere", "--output=models"], "/nowhere does not exist"),
        (["--checkpoint={run}", "--output=models", "--images=/no.jpg"], "cannot read image /no.jpg"),
        (["--checkpoint={run}", "--output=models", "--masks=half"], "--masks=half"),
        (["--checkpoint={run}", "--output={run}/../models/1"], "is an exported model; give the folder that holds it"),
        (
            ["--checkpoint={run}", "--output=models", "--size=800"],
            "--size=800: give any, or HEIGHTxWIDTH of 32 to 8192 px",
        ),
        (["--checkpoint={run}", "--output=models", "--size=16x64"], "--size=16x64: give any"),
        (["--checkpoint={run}", "--output=models", "--max-detections=0"], "max_detections"),
        (["--checkpoint={run}", "--output=models", "--target=tflite"], "give --size=HEIGHTxWIDTH"),
        (
            ["--checkpoint={run}", "--output=models", "--target=tflite", "--size=64x64", "--masks=full"],
            "does not know the image's own; leave out --masks=full",
        ),
        (
            ["--checkpoint={run}", "--output=models", "--target=weights", "--masks=none"],
            "has no graph, and float32 arrays; leave out",
        ),
        (["--checkpoint={run}", "--output={run}"], "is a run, for which its exports would be taken"),
    ],
)
def test_mistakes_are_named(exported, capsys, arguments, named):
    arguments = [one.replace("{run}", str(exported / "run")) for one in arguments]
    arguments = [one.replace("=models", f"={exported / 'other'}") for one in arguments]
    assert cli.main(["export", *arguments]) == 2
    assert named in capsys.readouterr().err
    assert not (exported / "other").exists()
