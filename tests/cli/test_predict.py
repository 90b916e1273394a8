"""`awsdet predict` from the command line, with a small detector of random weights."""

import json

import numpy as np
import pytest
from PIL import Image

from awsdet.cli import main as cli
from tests.evaluation.saved_checkpoint import save_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with run/ and images/: two good images."""
    folder = tmp_path_factory.mktemp("predict")
    save_checkpoint(folder / "run", ("cat", "dog", "bird"), (3, 17, 90))
    rng = np.random.default_rng(3)
    (folder / "images/deeper").mkdir(parents=True)
    for name, shape in [("a.png", (12, 20, 3)), ("deeper/b.bmp", (18, 10, 3))]:
        pixels = rng.integers(0, 255, shape, np.uint8)
        Image.fromarray(pixels).resize((8 * shape[1], 8 * shape[0])).save(folder / "images" / name)
    return folder


def arguments(folder, output, **changed):
    values = {"checkpoint": folder / "run", "input": folder / "images", "output": output, **changed}
    return ["predict", *(f"--{name}={value}" for name, value in values.items())]


def test_folder_to_json_and_pictures(folder, tmp_path, capsys):
    output = tmp_path / "new/out.json"
    assert cli.main(arguments(folder, output, draw=tmp_path / "drawn", draw_threshold=0)) == 0
    content = json.loads(output.read_text())
    assert content["classes"] == [
        {"category_id": 3, "name": "cat"},
        {"category_id": 17, "name": "dog"},
        {"category_id": 90, "name": "bird"},
    ]
    assert [image["image"] for image in content["images"]] == ["a.png", "deeper/b.bmp"]
    assert content["skipped"] == []
    objects = sum(len(image["predictions"]) for image in content["images"])
    assert objects and f"{objects} objects in 2 images" in capsys.readouterr().out
    drawn = np.asarray(Image.open(tmp_path / "drawn/a.png"))
    assert drawn.shape == (96, 160, 3) and (drawn != np.asarray(Image.open(folder / "images/a.png"))).any()
    assert Image.open(tmp_path / "drawn/deeper/b.bmp.png").size == (80, 144)


def test_a_broken_image_is_named_and_the_rest_done(folder, tmp_path, capsys):
    images = tmp_path / "images"
    images.mkdir()
    data = (folder / "images/a.png").read_bytes()
    (images / "1.png").write_bytes(data[: len(data) // 2])
    (images / "2.png").write_bytes(data)
    assert cli.main(arguments(folder, tmp_path / "out.json", input=images)) == 1
    content = json.loads((tmp_path / "out.json").read_text())
    assert [image["image"] for image in content["images"]] == ["2.png"]
    assert [entry["image"] for entry in content["skipped"]] == ["1.png"]
    error = capsys.readouterr().err
    assert "images could not be read" in error and "1 of 2 images could not be read" in error


def test_one_image_and_score_threshold(folder, tmp_path):
    output = tmp_path / "out.json"
    assert cli.main(arguments(folder, output, input=folder / "images/a.png", score_threshold=1.0)) == 0
    content = json.loads(output.read_text())
    assert [(i["image"], i["predictions"]) for i in content["images"]] == [("a.png", [])]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"checkpoint": ""}, "--checkpoint is missing"),
        ({"input": "/nowhere"}, "/nowhere does not exist"),
        ({"checkpoint": "/nowhere"}, "/nowhere does not exist"),
        ({"score_threshold": 2}, "score_threshold"),
        ({"draw": "/proc/version"}, "--draw=/proc/version is a file; name a folder"),
    ],
)
def test_mistakes_end_in_one_line(folder, tmp_path, changed, words, capsys):
    assert cli.main(arguments(folder, tmp_path / "out.json", **changed)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("awsdet predict: ") and words in last
    assert not (tmp_path / "out.json").exists()


def test_folder_without_images(folder, tmp_path, capsys):
    assert cli.main(arguments(folder, tmp_path / "out.json", input=tmp_path)) == 2
    assert "has no images" in capsys.readouterr().err


def test_pictures_never_overwrite_the_images(folder, tmp_path, capsys):
    assert cli.main(arguments(folder, tmp_path / "out.json", draw=folder / "images")) == 2
    assert "would be overwritten" in capsys.readouterr().err
