"""`awsdet predict` from the command line, with a small detector of random weights."""

import json
import os

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
    first, second = capsys.readouterr().out.splitlines()
    assert objects and first.startswith(f"{objects} objects in 2 images -> ")
    assert second == f"{objects} of them, with a score of 0 or more (--draw_threshold), drawn -> {tmp_path / 'drawn'}"
    drawn = np.asarray(Image.open(tmp_path / "drawn/a.png"))
    assert drawn.shape == (96, 160, 3) and (drawn != np.asarray(Image.open(folder / "images/a.png"))).any()
    assert Image.open(tmp_path / "drawn/deeper/b.bmp.png").size == (80, 144)


def test_objects_of_a_high_score_are_counted(folder, tmp_path, capsys):
    output = tmp_path / "out.json"
    assert cli.main(arguments(folder, output)) == 0
    scores = [found["score"] for image in json.loads(output.read_text())["images"] for found in image["predictions"]]
    sure = sum(score >= 0.5 for score in scores)
    line = f"{sure} of them with a score of 0.5 or more (--score_threshold=0.5 keeps only these)"
    assert capsys.readouterr().out.splitlines()[1:] == [line]
    assert cli.main(arguments(folder, output, score_threshold=0.5)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 and printed[0].startswith(f"{sure} objects in 2 images -> ")
    assert cli.main(arguments(folder, output, score_threshold=1)) == 0
    assert capsys.readouterr().out.splitlines() == [f"0 objects in 2 images -> {output}"]


def test_the_json_of_mindspores_model(folder, tmp_path):
    output = tmp_path / "out.json"
    assert cli.main(arguments(folder, output, format="msrcnn")) == 0
    images = json.loads(output.read_text())
    assert set(images) == {f"{folder}/images/a.png", f"{folder}/images/deeper/b.bmp"}
    found = images[f"{folder}/images/a.png"]["predictions"][0]
    assert {"bbox", "class", "mask", "score"} <= set(found) and found["class"]["category_id"] in (3, 17, 90)


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


def test_nothing_in_a_folder_is_left_out_without_a_word(folder, tmp_path, capsys, caplog):
    images = tmp_path / "images"
    (images / "real").mkdir(parents=True)
    good = (folder / "images/a.png").read_bytes()
    odd = os.fsdecode(b"caf\xe9\n.PNG")
    for name in ("a", "a.png", "real/b.jfif", odd):
        (images / name).write_bytes(good)
    (images / "notes.txt").write_text("words")
    (images / "new.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (images / "gone.jpg").symlink_to("nowhere")
    (images / "again").symlink_to("real")
    os.mkfifo(images / "pipe.png")
    Image.new("RGB", (200, 100)).save(images / "large.png")
    Image.open(folder / "images/a.png").save(
        images / "moving.gif", save_all=True, append_images=[Image.new("RGB", (160, 96))]
    )
    arguments_ = arguments(folder, tmp_path / "out.json", input=images, draw=tmp_path / "drawn", draw_threshold=0)
    assert cli.main([*arguments_, "--max-megapixels=0.0155"]) == 1
    content = json.loads((tmp_path / "out.json").read_text())
    assert [image["image"] for image in content["images"]] == ["a", "a.png", odd, "moving.gif", "real/b.jfif"]
    skipped = {entry["image"]: entry["reason"] for entry in content["skipped"]}
    assert set(skipped) == {"new.heic", "gone.jpg", "again", "pipe.png", "large.png"}
    assert "it is large: 200 x 100, 0.02 megapixels, more than the limit of 0.0155; raise" in skipped["large.png"]
    assert content["other_files"] == {".txt": 1}
    printed = capsys.readouterr()
    assert "in 5 images" in printed.out and "(no images: 1 .txt)" in printed.out
    assert "4 of 9 images could not be read" in printed.err
    for words in ("a HEIC image, which cannot be read", "gone.jpg: a link to nowhere", "several frames or pages"):
        assert words in caplog.text
    drawn = {path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.*")}
    assert drawn == {"a.drawn.png", "a.png", odd, "moving.gif.png", "real/b.jfif.png"}


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
        ({"score_threshold": "nan"}, "flag --score_threshold=nan: it is not a number in the range [0.0, 1.0]"),
        ({"draw_threshold": "NaN"}, "flag --draw_threshold=nan: it is not a number in the range [0.0, 1.0]"),
        ({"max_megapixels": 0}, "--max-megapixels=0.0: it must be more than 0"),
        ({"input": "/dev/null"}, "/dev/null is a device"),
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


@pytest.mark.parametrize("given", ["images", "images/a.png"])
def test_the_json_never_overwrites_an_image(folder, tmp_path, given, capsys):
    before = (folder / "images/a.png").read_bytes()
    (tmp_path / "link").symlink_to(folder / "images")
    for output in (folder / "images/a.png", tmp_path / "link/a.png"):
        assert cli.main(arguments(folder, output, input=folder / given)) == 2
        assert f"--output={output} is one of the images, which would be overwritten" in capsys.readouterr().err
    assert (folder / "images/a.png").read_bytes() == before
