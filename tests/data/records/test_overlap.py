"""Which splits of a folder may stand side by side, by what their manifests say of their sources."""

import json

import pytest

from awsdet.data.records.holdout import Holdout
from awsdet.data.records.overlap import check_free, check_whole, described, source_of
from awsdet.runtime.errors import UserError

THREE = described(Holdout(0.1, test=0.2), "train")
TWO = described(Holdout(0.1, 3, "dev"), "train")


@pytest.fixture
def folder(tmp_path):
    """Writes manifests that hold a source alone: a function of split -> what is said of its division, or None."""

    def write(**splits):
        for split, holdout in splits.items():
            source = {"sha256": "a" * 64, **({"holdout": holdout} if holdout else {})}
            (tmp_path / f"{split}.manifest.json").write_text(json.dumps({"source": source}))
        return tmp_path

    return write


def test_what_a_manifest_says_names_a_test_split_only_if_there_is_one():
    assert TWO == {"share": 0.1, "seed": 3, "training": "train", "held_out": "dev"}
    assert THREE == {**TWO, "seed": 1, "held_out": "val", "test_share": 0.2, "test": "test"}


def test_a_damaged_or_missing_manifest_says_nothing(tmp_path):
    (tmp_path / "val.manifest.json").write_text("{")
    assert source_of(tmp_path, "val") == source_of(tmp_path, "train") == {}


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_whole_of_a_file_beside_its_training_part(folder, split):
    records = folder(train=THREE)
    words = f"holds train, out of which --holdout=0.1 --test=0.2 --seed=1 held {split}; the whole file as {split}"
    with pytest.raises(UserError, match=words):
        check_whole(records, split, "a" * 64)
    check_whole(records, split, "b" * 64)  # another file
    check_whole(records, "other", "a" * 64)


@pytest.mark.parametrize("held", ["val", "test"])
def test_the_whole_of_a_file_beside_a_part_that_was_held_out(folder, held):
    with pytest.raises(UserError, match=f"holds {held}, which was held out of train by .*; the whole of train would"):
        check_whole(folder(**{held: THREE}), "train", "b" * 64)


def test_a_held_out_name_that_is_taken(folder):
    for name, cure in (("val", "or another name with --holdout-split"), ("test", "choose another folder$")):
        with pytest.raises(UserError, match=f"a split {name} already, which was not held out; .*{cure}"):
            check_free(folder(**{name: None}), "train", Holdout(0.1, test=0.1))
        (folder() / f"{name}.manifest.json").unlink()
    check_free(folder(test=None), "train", Holdout(0.1))  # a file of its own


def test_a_held_out_split_that_would_be_left_behind(folder):
    records = folder(train=THREE, val=THREE, test=THREE)
    with pytest.raises(UserError, match="holds test, which was held out of train by --holdout=0.1 --test=0.2 --seed=1"):
        check_free(records, "train", Holdout(0.1))
    check_free(records, "train", Holdout(0.2, 5, test=0.1))  # all three are made anew
    check_free(records, "other", Holdout(0.1))
    (records / "test.manifest.json").unlink()
    check_free(records, "train", Holdout(0.1))
    renamed = folder(dev=TWO)
    with pytest.raises(UserError, match="holds dev, .* by --holdout=0.1 --holdout-split=dev --seed=3; without these"):
        check_free(renamed, "train", Holdout(0.1))
