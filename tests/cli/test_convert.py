"""`awsdet convert --dataset`: whole data sets, of COCO and of other formats."""

import json

import pytest

from awsdet.cli.main import main
from awsdet.data.records.read import read_ground_truth, read_manifest
from tests.data.download.made import FILES
from tests.data.formats.made import picture


@pytest.fixture
def coco(tmp_path):
    """A data set in COCO's own layout."""
    for files in FILES.values():
        for name, content in files:
            path = tmp_path / "set" / name
            if not name.endswith("/"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    return tmp_path / "set"


@pytest.fixture
def voc(tmp_path):
    """A data set of Pascal VOC: four images, of which two are val."""
    corners = "<xmin>2</xmin><ymin>3</ymin><xmax>11</xmax><ymax>12</ymax>"
    for name in "abcd":
        for folder, suffix, data in (
            ("JPEGImages", "jpg", picture() + name.encode()),
            (
                "Annotations",
                "xml",
                f"<annotation><object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>".encode(),
            ),
        ):
            (tmp_path / "voc" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "voc" / folder / f"{name}.{suffix}").write_bytes(data)
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c\nd\n")
    return tmp_path / "voc"


def test_all_splits_of_a_coco_data_set(coco, tmp_path, capsys):
    output = tmp_path / "records"
    assert main(["convert", f"--dataset={coco}", f"--output={output}", "--workers=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{coco}: COCO's own layout",
        f"  train: annotations/instances_train2017.json, images in {coco}/train2017",
        f"  val: annotations/instances_val2017.json, images in {coco}/val2017",
    ]
    assert [read_manifest(output, split).num_images for split in ("train", "val")] == [4, 2]
    assert main(["convert", f"--dataset={coco}", f"--output={tmp_path}/one", "--split=val", "--workers=1"]) == 0
    assert [path.name for path in (tmp_path / "one").glob("*.json")] == ["val.manifest.json"]


def test_a_data_set_of_another_format(voc, tmp_path, capsys):
    output = tmp_path / "records"
    command = ["convert", f"--dataset={voc}", "--from=voc", f"--output={output}", "--workers=1"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"{voc}: Pascal VOC",
        f"  train: 2 images, 2 objects of 1 classes, from {voc}/Annotations",
    ]
    manifest = read_manifest(output, "val")
    assert [a["bbox"] for a in read_ground_truth(manifest)["annotations"]] == [[1, 2, 10, 10]] * 2
    assert json.loads((output / "val.manifest.json").read_text())["source"]["annotations"] == f"{voc}/Annotations"
    changed = [path.stat().st_mtime_ns for path in output.glob("*.tfrecord")]
    assert main(command) == 0  # nothing is written again
    assert [path.stat().st_mtime_ns for path in output.glob("*.tfrecord")] == changed


def test_images_can_be_held_out_of_one_split(voc, tmp_path, capsys):
    command = ["convert", f"--dataset={voc}", "--from=voc", f"--output={tmp_path}/records", "--holdout=0.5"]
    assert main(command) == 2
    assert "--holdout divides one split, and" in capsys.readouterr().err
    assert main([*command, "--split=train", "--workers=1"]) == 0
    assert [read_manifest(tmp_path / "records", split).num_images for split in ("train", "val")] == [1, 1]


def test_strict_refuses_what_the_translation_leaves_out(voc, tmp_path, capsys):
    (voc / "Annotations" / "a.xml").write_text("<!DOCTYPE a>")
    command = ["convert", f"--dataset={voc}", "--from=voc", f"--output={tmp_path}/records", "--split=train"]
    assert main([*command, "--strict"]) == 2
    assert (
        "--strict: annotation file of one image that cannot be read: image left out: a.xml" in capsys.readouterr().err
    )
    assert main([*command, "--workers=1"]) == 0
    assert "annotation file of one image that cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--dataset=x"], "--output is missing"),
        (["--dataset=x", "--output=o"], "--dataset=x does not exist"),
        (["--dataset=x", "--output=o", "--from=yolo"], "--dataset=x does not exist"),
        (["--dataset=x", "--output=o", "--annotations=a"], "--annotations does not go with --dataset=x"),
        (["--dataset=x", "--output=o", "--images=a"], "--images does not go with --dataset=x"),
        (["--dataset=x", "--output=o", "--classes=a"], "--classes does not go with --dataset=x"),
        (["--dataset=.", "--output=o", "--from=voc", "--classes=gone"], "list of classes gone cannot be read"),
        (["--dataset=.", "--output=o", "--from=voc", "--images=gone"], "image folder gone does not exist"),
        (["--dataset=.", "--output=o", "--from=yolo", "--images=."], "--images does not go with --from=yolo"),
        (["--dataset=file", "--output=o", "--from=voc"], "--dataset=file is a file; give the folder of the data set"),
        (["--annotations=a", "--images=.", "--output=o", "--split=s", "--from=voc"], "--from goes with --dataset=DIR"),
        (["--dataset=.", "--output=o", "--from=coco3d"], "--from"),
        (["--dataset=.", "--output=o", "--seed=1"], "--seed has no meaning without --holdout"),
    ],
)
def test_mistakes_are_one_line(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["convert", *flags]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said and "\n" not in said and not (tmp_path / "o").exists()
