"""COCO data sets in the folders that people have them in."""

import pytest

from awsdet.data import layouts
from awsdet.runtime.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Makes files and folders (names that end with "/"). Returns the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "set" / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                path.write_text("{}")
        return tmp_path / "set"

    return make


COCO = (
    "annotations/instances_train2017.json",
    "annotations/instances_val2017.json",
    "annotations/captions_val2017.json",
    "train2017/",
    "val2017/",
    "test2017/",
    "readme.txt",
)


@pytest.mark.parametrize(
    "names, root, splits, unused",
    [
        (
            COCO,
            "",
            {
                "train": ("annotations/instances_train2017.json", "train2017"),
                "val": ("annotations/instances_val2017.json", "val2017"),
            },
            ("annotations/captions_val2017.json", "readme.txt", "test2017"),
        ),
        (
            ("annotations/instances_minival.json.gz", "images/minival/"),
            "",
            {"minival": ("annotations/instances_minival.json.gz", "images/minival")},
            (),
        ),
        (
            (
                "data/coco/annotations/instances_val2014.json",
                "data/coco/val2014/",
                "data/coco/pretrained-models/",
                "x/",
            ),
            "data/coco",
            {"val": ("annotations/instances_val2014.json", "val2014")},
            ("pretrained-models",),
        ),
        (
            ("train/labels.json", "train/data/", "validation/labels.json", "validation/data/"),
            "",
            {"train": ("train/labels.json", "train/data"), "val": ("validation/labels.json", "validation/data")},
            (),
        ),
        (
            ("train/_annotations.coco.json", "valid/_annotations.coco.json", "README.txt"),
            "",
            {"train": ("train/_annotations.coco.json", "train"), "val": ("valid/_annotations.coco.json", "valid")},
            ("README.txt",),
        ),
    ],
)
def test_layouts_are_found_with_what_is_not_used(folder, names, root, splits, unused):
    made = folder(*names)
    found = layouts.find(made)
    base = made / root
    assert found.root.resolve() == base.resolve() and found.unused == unused
    assert found.splits == {one: (base / a, base / b) for one, (a, b) in splits.items()}
    last = list(splits)[-1]
    assert list(layouts.find(made, last).splits) == [last]
    with pytest.raises(UserError, match=f"has no split nothing, but {', '.join(splits)}"):
        layouts.find(made, "nothing")


@pytest.mark.parametrize(
    "names, words",
    [
        (
            ("annotations/instances_train2014.json", "annotations/instances_train2017.json"),
            "instances_train2017.json would be the split train; give one of them with --annotations",
        ),
        (
            (*COCO, "train/labels.json", "train/data/"),
            "holds COCO's own layout in {set} and the layout of FiftyOne and MindSpore in {set}; give one",
        ),
        ((*COCO, "coco/annotations/instances_val2017.json"), "and COCO's own layout in {set}/coco; give one"),
        (("annotations/instances_train2017.json",), "is there, but not the folder of its images, {set}/train2017"),
        (("a.json", "photos/"), "it holds a.json, photos: give --annotations and --images"),
        (("Annotations/a.xml",), "it looks like another format: add --from=voc"),
        (("data.yaml", "images/"), "it looks like another format: add --from=yolo"),
        (("masks/", "images/"), "it looks like another format: add --from=masks"),
    ],
)
def test_two_that_fit_or_none_are_one_clear_line(folder, names, words):
    made = folder(*names)
    with pytest.raises(UserError) as error:
        layouts.find(made)
    assert words.format(set=made) in str(error.value) and "\n" not in str(error.value)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UserError, match="/x does not exist"):
        layouts.find(tmp_path / "x")
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match="/x is a file; give the folder of the data set"):
        layouts.find(tmp_path / "x")
    (tmp_path / "y").mkdir()
    with pytest.raises(UserError, match="it holds nothing"):
        layouts.find(tmp_path / "y")
