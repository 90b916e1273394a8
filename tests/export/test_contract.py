"""The folder of exported models: its numbers, and what awsdet.json must say."""

import json

import pytest

from awsdet.export import contract
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import half_made, publish_new

WHOLE = {
    "format": contract.FORMAT,
    "target": "savedmodel",
    "size": {"height": 320, "width": 640, "pad_multiple": 32},
    "name": "a",
    "class_names": ["cat", "dog"],
    "category_ids": [3, 17],
    "masks": "crop",
    "mask_threshold": 0.5,
}


def test_numbers_are_those_that_tensorflow_serving_reads(tmp_path):
    for name in ("007", "²", "٣", "1a", "-9", "9" * 30):
        (tmp_path / name).mkdir()
        (tmp_path / name / contract.INFO).touch()
    assert contract.find(tmp_path) == tmp_path / "007"
    assert contract.next_version(tmp_path) == tmp_path / "8"


def test_two_exports_at_once_take_two_numbers(tmp_path):
    """One chooses its number, and another takes it before the first can use it."""
    rivals = ["second"]

    def export(text):
        with half_made(contract.next_version(tmp_path)) as aside:
            aside.mkdir()
            (aside / "file").write_text(text)
            return publish_new(aside, next_version)

    def next_version():
        path = contract.next_version(tmp_path)
        if rivals:
            export(rivals.pop())
        return path

    assert export("first") == tmp_path / "2"
    assert {path.name: (path / "file").read_text() for path in tmp_path.iterdir()} == {"1": "second", "2": "first"}


def test_what_holds_no_model_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path, named in ((tmp_path, "holds no exported model"), ("file", "is a file"), ("no", "does not exist")):
        with pytest.raises(UserError, match=f"{path} {named}.*; awsdet export makes"):
            contract.find_whole(tmp_path / path)


@pytest.mark.parametrize(
    "change,named",
    [
        ({"class_names": 5}, "no usable class_names"),
        ({"class_names": "cat"}, "no usable class_names"),
        ({"class_names": [], "category_ids": []}, "no usable class_names"),
        ({"category_ids": [3, "17"]}, "no usable category_ids"),
        ({"category_ids": [3]}, "2 class_names and 1 category_ids"),
        ({"mask_threshold": "half", "name": None}, "no usable mask_threshold, no usable name"),
        ({"mask_threshold": float("nan")}, "no usable mask_threshold"),
        ({"name": "a/b"}, "no usable name"),
        ({"masks": ["crop"]}, "no usable masks"),
        ({"size": {"height": 320, "width": 640}}, "no usable size"),
        ({"size": {"height": 320, "width": 0, "pad_multiple": 32}}, "no usable size"),
    ],
)
def test_information_that_cannot_be_used_is_named(tmp_path, change, named):
    (tmp_path / contract.INFO).write_text(json.dumps(WHOLE))
    assert contract.read_info(tmp_path) == WHOLE
    (tmp_path / contract.INFO).write_text(json.dumps({**WHOLE, **change}))
    with pytest.raises(UserError, match=f"{named}; export the model again"):
        contract.read_info(tmp_path)
