"""What the tests of all formats share."""

import json

import pytest

from awsdet.data.records.convert import convert
from awsdet.data.records.read import read_ground_truth


@pytest.fixture
def files(tmp_path):
    """Writes files of a data set: name -> bytes or text. Returns its folder."""

    def write(content, folder="set"):
        for name, data in content.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return tmp_path / folder

    return write


@pytest.fixture
def same_records(tmp_path):
    """Checks that a Translated gives the records of a COCO file of the same objects."""

    def check(translated, images, annotations, categories):
        content = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / "coco.json").write_text(json.dumps(content))
        ours = convert(translated, translated.images, tmp_path / "ours", "train", workers=1)
        theirs = convert(tmp_path / "coco.json", translated.images, tmp_path / "theirs", "train", workers=1)
        assert read_ground_truth(ours) == read_ground_truth(theirs)
        assert (ours.class_names, ours.category_ids) == (theirs.class_names, theirs.category_ids)
        shards = [(tmp_path / name / ours.shards[0].file).read_bytes() for name in ("ours", "theirs")]
        assert shards[0] == shards[1]
        return ours

    return check
