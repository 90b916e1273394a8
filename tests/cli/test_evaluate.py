"""`awsdet evaluate` from the command line, with a small detector of random weights."""

import json

import pytest

from awsdet.cli import main as cli
from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest
from awsdet.inference import fast_convolutions
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.evaluation.truth_detector import shape_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with records/ (split val) and run/, whose checkpoint has their classes."""
    folder = tmp_path_factory.mktemp("evaluate")
    manifest = shape_records(folder, images=5)
    save_checkpoint(folder / "run", manifest.class_names, manifest.category_ids)
    return folder


def arguments(folder, **changed):
    values = {"checkpoint": folder / "run", "records": folder / "records", **changed}
    return ["evaluate", *(f"--{name}={value}" for name, value in values.items())]


def test_table_and_results(folder, capsys, monkeypatch):
    results, faster = folder / "new" / "results.json", []
    monkeypatch.setattr(fast_convolutions, "use_fast_convolutions", faster.append)
    assert cli.main(arguments(folder, output=results, batch_size=2)) == 0
    assert len(faster) == 1
    out = capsys.readouterr().out
    assert out.startswith("COCO metrics") and "AP   IoU 0.50:0.95" in out and "rectangle" in out and str(results) in out
    found = json.loads(results.read_text())
    manifest = read_manifest(folder / "records", "val")
    assert {r["image_id"] for r in found} <= set(manifest.image_id.tolist()) and found
    sizes = dict(zip(manifest.image_id.tolist(), zip(manifest.height.tolist(), manifest.width.tolist())))
    for result in found:
        assert tuple(result["segmentation"]["size"]) == sizes[result["image_id"]]
        assert result["category_id"] in manifest.category_ids

    assert cli.main(["evaluate", f"--results={results}", f"--records={folder / 'records'}"]) == 0
    assert capsys.readouterr().out.rstrip() == out.rpartition("\n\nDetections in")[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--checkpoint=run"], "--checkpoint does nothing"),
        (["--output=x.json"], "--output does nothing with --results"),
        (["--check"], "--check does nothing with --results"),
        (["--split=test"], "no split test; it has val"),
        ([], "results nothing.json does not exist; give a file in COCO's results format"),
    ],
)
def test_mistakes_beside_results(folder, flags, words, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "--results=nothing.json", f"--records={folder / 'records'}", *flags]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and words in said[0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"checkpoint": ""}, "--checkpoint is missing"),
        ({"records": ""}, "--records is missing"),
        ({"checkpoint": "/nowhere"}, "/nowhere does not exist"),
        ({"records": "/nowhere"}, "awsdet convert"),
        (
            {"split": "test"},
            "no split test; it has val; --split names the one to evaluate on, and awsdet convert --split=test makes it "
            "(--test=0.1 beside --holdout=0.1 holds",
        ),
        ({"batch_size": -1}, "batch_size"),
        ({"output": "/"}, "--output=/ is a folder; name a file"),
        ({"output": "/proc/version/x/r.json"}, "cannot be written: /proc/version is no folder"),
    ],
)
def test_mistakes_end_in_one_line(folder, changed, words, capsys):
    """The same one whether it is looked for before the work or found by it."""
    said = []
    for check in (False, True):
        assert cli.main(arguments(folder, **changed, check=check)) == 2
        said.append(capsys.readouterr().err.splitlines()[-1])
    assert said[0] == said[1] and said[0].startswith("awsdet evaluate: ") and words in said[0]


def test_check_evaluates_nothing(folder, tmp_path, capsys):
    assert cli.main(arguments(folder, output=tmp_path / "new" / "results.json", check=True)) == 0
    assert capsys.readouterr().out.endswith("ready to evaluate on 5 images\n") and list(tmp_path.iterdir()) == []


def test_a_test_split(folder, tmp_path, capsys):
    shapes = folder / "shapes"
    convert(shapes / "annotations/instances_test.json", shapes / "images/test", tmp_path, "test", workers=1)
    assert cli.main(arguments(folder, records=tmp_path, split="test", check=True)) == 0
    assert capsys.readouterr().out.endswith("ready to evaluate on 5 images\n")


def test_checkpoint_of_another_class_list(folder, tmp_path, capsys):
    save_checkpoint(tmp_path / "other", ("circle", "square", "triangle", "star"), (2, 3, 7, 11))
    assert cli.main(arguments(folder, checkpoint=tmp_path / "other")) == 2
    assert "class 1 is 'square' against 'rectangle'" in capsys.readouterr().err


def test_truncated_shard(folder, tmp_path, capsys):
    shape_records(tmp_path, images=3)
    shard = next((tmp_path / "records").glob("val-*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-100])
    assert cli.main(arguments(folder, records=tmp_path / "records")) == 2
    assert shard.name in capsys.readouterr().err.splitlines()[-1]
