"""`awsdet analyse` from the command line: of a checkpoint, and of a results file."""

import json

import pytest

from awsdet.cli import main as cli
from awsdet.data.records.read import read_ground_truth, read_manifest
from tests.evaluation.saved_checkpoint import save_checkpoint
from tests.evaluation.truth_detector import shape_records


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with records/ (split val), annotations.json, and results.json, in which half of the objects are."""
    folder = tmp_path_factory.mktemp("analyse")
    manifest = shape_records(folder, images=5)
    truth = read_ground_truth(manifest)
    found = [a for a in truth["annotations"] if not a["iscrowd"]][::2]
    keys = ("image_id", "category_id", "bbox")
    (folder / "results.json").write_text(json.dumps([{**{key: a[key] for key in keys}, "score": 0.9} for a in found]))
    content = {"categories": [{**one, "supercategory": "shape"} for one in truth["categories"]]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def arguments(folder, **changed):
    values = {"results": folder / "results.json", "records": folder / "records", "output": folder / "out", **changed}
    return ["analyse", *(f"--{name}={value}" for name, value in values.items() if value is not None)]


def test_of_results(folder, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    given = {"output": out, "annotations": folder / "annotations.json", "score_threshold": 0.25}
    for _ in range(2):  # a second call replaces the first one's files
        assert cli.main(arguments(folder, **given)) == 0
    printed = capsys.readouterr().out
    figures = json.loads((out / "analysis.json").read_text())
    assert f"Open {out / 'index.html'} in a browser." in printed
    assert f"AP at IoU 0.5 is {100 * figures['box']['tide']['ap']:.1f}" in printed
    assert figures["box"]["tide"]["counts"]["FP"] == 0 and figures["box"]["tide"]["counts"]["Miss"] > 0
    assert figures["box"]["score"] == 0.25 and figures["split"] == "val" and "mask" not in figures
    html = (out / "index.html").read_text(encoding="utf-8")
    assert "No supercategories are known" not in html and "<h2" in html


def test_of_a_checkpoint(folder, tmp_path, capsys):
    manifest = read_manifest(folder / "records", "val")
    save_checkpoint(folder / "run", manifest.class_names, manifest.category_ids)
    out = tmp_path / "out"
    assert cli.main(arguments(folder, results=None, checkpoint=folder / "run", output=out)) == 0
    assert sorted(path.name for path in out.iterdir()) == ["analysis.json", "analysis_results.json", "index.html"]
    printed = capsys.readouterr().out
    assert printed.startswith("box: ") and "\nmask: " in printed
    figures = json.loads((out / "analysis.json").read_text())
    assert "step-00000000 (step 0)" in figures["source"] and {"box", "mask"} <= set(figures)
    results = json.loads((out / "analysis_results.json").read_text())
    wrong = figures["box"]["tide"]["counts"]["FP"]
    assert 0 < wrong <= len(results)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"results": None}, "give either --checkpoint or --results"),
        ({"checkpoint": "run"}, "give either --checkpoint or --results"),
        ({"records": None}, "--records is missing"),
        ({"output": None}, "--output is missing"),
        ({"output": "/proc/version"}, "--output=/proc/version is a file; name a folder"),
        ({"records": "/nowhere"}, "awsdet convert"),
        ({"split": "test"}, "no split test"),
        ({"results": "/nowhere"}, "results /nowhere does not exist"),
        ({"results": None, "checkpoint": "/nowhere"}, "/nowhere does not exist"),
        ({"annotations": "/nowhere"}, "--annotations=/nowhere cannot be read"),
        ({"score_threshold": "high"}, "score_threshold"),
        ({"score_threshold": "nan"}, "score_threshold"),
        ({"score_threshold": -1}, "score_threshold"),
    ],
)
def test_mistakes_end_in_one_line(folder, tmp_path, changed, words, capsys):
    assert cli.main(arguments(folder, **{"output": tmp_path / "out", **changed})) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("awsdet analyse: ") and words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"categories": [{"id": 999, "supercategory": "a"}]}', "{"])
def test_annotations_without_supercategories(folder, tmp_path, content, capsys):
    (tmp_path / "a.json").write_text(content)
    assert cli.main(arguments(folder, annotations=tmp_path / "a.json", output=tmp_path / "out")) == 2
    assert f"--annotations={tmp_path / 'a.json'} " in capsys.readouterr().err
