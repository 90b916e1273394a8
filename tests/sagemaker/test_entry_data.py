"""What the entry point finds in the channels of a job."""

import json
import zipfile

import pytest
from ml_collections import config_dict

from awsdet.runtime import archives
from awsdet.runtime.errors import UserError
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_base  # isort: skip
import container_data  # isort: skip
import container_description  # isort: skip


def annotate(path, *file_names):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": number, "file_name": name} for number, name in enumerate(file_names)]
    path.write_text(json.dumps({"info": {}, "images": images}))


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def find(folder, split="train", required=True):
    return container_data.find_coco([folder], "train", split, required)


def test_the_layout_of_coco_itself(tmp_path):
    for split in ("train2017", "val2017"):
        annotate(tmp_path / f"annotations/instances_{split}.json", f"{split}1.jpg", f"{split}2.jpg")
        annotate(tmp_path / f"annotations/captions_{split}.json", f"{split}1.jpg")
        touch(tmp_path / split / f"{split}1.jpg", tmp_path / split / f"{split}2.jpg")
    found = find(tmp_path)
    assert found == (tmp_path / "annotations/instances_train2017.json", tmp_path / "train2017")
    assert find(tmp_path, "val", False) == (tmp_path / "annotations/instances_val2017.json", tmp_path / "val2017")


def test_one_file_of_any_name(tmp_path):
    annotate(tmp_path / "labels.json", "photos/ä b.jpg")
    touch(tmp_path / "photos/ä b.jpg")
    assert find(tmp_path) == (tmp_path / "labels.json", tmp_path)
    assert find(tmp_path, "val", required=False) is None  # the only file is that of train


def test_the_folder_that_holds_all_images(tmp_path):
    annotate(tmp_path / "annotations/train.json", "1.jpg", "2.jpg")
    touch(tmp_path / "a/1.jpg", tmp_path / "b/1.jpg", tmp_path / "b/2.jpg")
    assert find(tmp_path).images == tmp_path / "b"


def test_file_names_beyond_the_first_block(tmp_path):
    annotate(tmp_path / "a.json", "x.jpg")
    content = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({"licenses": ["l" * 3_000_000], **content}))
    assert container_data.first_file_names(tmp_path / "a.json") == ["x.jpg"]


@pytest.mark.parametrize("names", [(), ("a.json", "b.json"), ("instances_train1.json", "instances_train2.json")])
def test_no_or_several_annotation_files(tmp_path, names):
    for name in names:
        annotate(tmp_path / name, "1.jpg")
    with pytest.raises(UserError, match=f"it has {', '.join(names) or 'no JSON file'}"):
        find(tmp_path)


def test_images_that_are_not_there(tmp_path):
    annotate(tmp_path / "a.json", "1.jpg")
    with pytest.raises(UserError, match="no folder holds the images of .*a.json, such as 1.jpg"):
        find(tmp_path)
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="names no image"):
        find(tmp_path)


def test_records(tmp_path):
    assert container_data.find_records(tmp_path, "train") is None
    touch(tmp_path / "inner/train.manifest.json", tmp_path / "inner/val.manifest.json")
    assert container_data.find_records(tmp_path, "train") == tmp_path / "inner"
    with pytest.raises(UserError, match="the splits train, val, but no test"):
        container_data.find_records(tmp_path, "test")
    touch(tmp_path / "other/train.manifest.json")
    with pytest.raises(UserError, match="more than one folder"):
        container_data.find_records(tmp_path, "train")


def test_weights(tmp_path):
    with pytest.raises(UserError, match="it holds nothing"):
        container_data.find_weights(tmp_path)
    touch(tmp_path / "resnet50.npz")
    assert container_data.find_weights(tmp_path) == tmp_path / "resnet50.npz"
    touch(tmp_path / "other.npz")
    with pytest.raises(UserError, match=r"it holds other.npz, resnet50.npz"):
        container_data.find_weights(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    assert container_data.find_weights(tmp_path) == tmp_path


def make_zip(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"x/{name}", content)
    return path


def test_archives_share_a_tree_and_a_limit(tmp_path, monkeypatch, capsys):
    packed = [make_zip(tmp_path / "a.zip", one=bytes(600)), make_zip(tmp_path / "b.zip", two=bytes(500))]
    container_data.extract_all(packed, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out/x").iterdir()) == ["one", "two"]
    assert "extracted 1 files from a.zip" in capsys.readouterr().out
    monkeypatch.setattr(archives, "room", lambda folder: 1000)
    with pytest.raises(
        UserError, match="b.zip extracts to more than .*; give the job a larger volume, or raise AWSDET"
    ):
        container_data.extract_all(packed, tmp_path / "again")
    monkeypatch.setenv("AWSDET_EXTRACT_LIMIT_GB", "1")
    container_data.extract_all(packed, tmp_path / "with-a-limit")


def test_a_conversion_that_was_interrupted_is_completed(tmp_path, monkeypatch, capsys):
    """The first split was converted, the second one was not."""
    paths, converted = container_base.Paths(tmp_path), []
    source, target = paths.channels / "train", paths.scratch / "records" / "train"
    for split in ("train", "val"):
        annotate(source / f"annotations/instances_{split}.json", f"{split}.jpg")
        touch(source / split / f"{split}.jpg")

    def convert(coco, folder, split, children):
        converted.append((split, coco.images.name))
        touch(folder / f"{split}.manifest.json")

    monkeypatch.setattr(container_data, "_convert", convert)
    touch(target / "train.manifest.json")
    config = config_dict.ConfigDict(
        {"data": {"train_split": "train", "eval_split": "val"}, "train": {"evaluate_every_epochs": 1}}
    )
    for _ in range(2):
        assert container_data.prepare_data(paths, {"train"}, config, True, set()) == [f"data.train_records={target}"]
    assert converted == [("val", "val")]
    said = capsys.readouterr().out
    assert (
        "records of train converted before" in said and f"channel train: records converted before, in {target}" in said
    )


def channels(**modes):
    return {name: container_description.Channel(name, *mode) for name, mode in modes.items()}


@pytest.mark.parametrize(
    "mode, message", [(("Pipe", False), "Pipe"), (("File", True), "ShardedByS3Key"), (("File", False), "has no folder")]
)
def test_channels_that_cannot_be_used(tmp_path, mode, message):
    with pytest.raises(UserError, match=message):
        container_data.check_channels(container_base.Paths(tmp_path), channels(train=mode))


def test_train_is_required(tmp_path):
    (tmp_path / "input/data/val").mkdir(parents=True)
    with pytest.raises(UserError, match="channel train is missing"):
        container_data.check_channels(container_base.Paths(tmp_path), channels(val=("File", False)))


def test_channels_that_are_not_used(tmp_path, capsys):
    (tmp_path / "input/data/train").mkdir(parents=True)
    plain = ("FastFile", False)
    given = channels(train=plain, code=plain, sm_drivers=plain, validation=plain)
    container_data.check_channels(container_base.Paths(tmp_path), given)
    said = capsys.readouterr().out
    assert "warning: channel validation is not used" in said and "code" not in said and "sm_drivers" not in said
