"""What a run starts from: records that can be trained on, with one class list."""

import json

import pytest

from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_manifest
from awsdet.runtime.errors import UserError
from awsdet.training.inputs import prepare
from tests.data.records.test_class_lists import shard
from tests.training.tiny_run import QUICK, load_config, make_records, write_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_records(folder, train_images=2, val_images=2)
    return folder


def prepared(folder, run, *overrides):
    config = load_config(write_config(run.with_suffix(".py"), folder), "model.detector=faster_rcnn", *overrides)
    return prepare(config, run, resume=False, processes=1)


@pytest.mark.parametrize("keep_empty", [True, False])
def test_a_training_set_without_an_object_is_refused(folder, tmp_path, keep_empty):
    """Crowd regions are no objects. Empty images may be trained on, but not alone."""
    truth = json.loads((folder / "annotations" / "instances_train.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**truth, "annotations": []}))
    convert(tmp_path / "a.json", folder / "images" / "train", tmp_path / "records", "train", workers=1)
    overrides = (*QUICK, f"data.keep_empty={keep_empty}")
    words = "no object to train on" if keep_empty else "no image to train on"
    with pytest.raises(UserError, match=rf"{words}"):
        prepared(tmp_path / "records", tmp_path / "run", *overrides)
    shard(tmp_path / "crowds", ("1", [1, 1], ["cat", "cat"], [1, 1]))
    with pytest.raises(UserError, match=r"crowds \(train\) have 2 crowd regions, but no object to train on"):
        prepared(tmp_path / "crowds", tmp_path / "run", *overrides)


def test_the_class_list_is_that_of_both_splits(tmp_path):
    shard(tmp_path / "a", ("1", [4], ["dog"], []), split="train")
    shard(tmp_path / "b", ("1", [9, 1], ["cow", "cat"], []), split="val")
    inputs = prepared(tmp_path / "a", tmp_path / "run", f"data.eval_records={tmp_path / 'b'}")
    assert inputs.class_names == ("cat", "dog", "cow") and inputs.category_ids == (1, 4, 9)
    assert inputs.train.class_names == inputs.evaluation.class_names == inputs.class_names


def test_records_of_awsdet_keep_their_list_and_others_take_it_over(folder, tmp_path):
    names = read_manifest(folder / "records", "train").class_names
    shard(tmp_path / "b", ("1", [7, 3], ["triangle", "rectangle"], []), split="val")
    inputs = prepared(folder / "records", tmp_path / "run", f"data.eval_records={tmp_path / 'b'}")
    assert inputs.evaluation.class_names == inputs.class_names == names
    shard(tmp_path / "c", ("1", [7, 5], ["triangle", "heart"], []), split="val")
    with pytest.raises(UserError, match="another class list than the training records"):
        prepared(folder / "records", tmp_path / "run", f"data.eval_records={tmp_path / 'c'}")
