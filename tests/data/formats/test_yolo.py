"""YOLO data sets: with a data.yaml, with a list of classes, and with what goes wrong in them."""

import pathlib

import pytest

from awsdet.data.formats import yolo
from awsdet.runtime.errors import UserError
from tests.data.formats.made import HEIGHT, WIDTH, box, entry, picture

YAML = "path: ../datasets/mine\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: 猫\n"


def test_a_data_set_gives_the_records_of_a_coco_file(files, same_records):
    """The path of the YAML file is that of another machine; labels are read in their upright image's pixels."""
    folder = files(
        {
            "data.yaml": YAML,
            "images/train/a.jpg": picture(),
            "images/train/empty.jpg": picture(),
            "images/train/sub/turned.jpg": picture(HEIGHT, WIDTH, orientation=8),
            "images/train/unlabelled.png": picture(kind="PNG"),
            "images/val/b.jpg": picture(),
            "labels/train/a.txt": "\ufeff1 0.5 0.5 0.5 0.25\r\n0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\r\n\r\n",
            "labels/train/empty.txt": "",
            "labels/train/sub/turned.txt": "0 0.25 0.5 0.5 1",
            "labels/val/b.txt": "0 0.5 0.5 1 1\n",
        }
    )
    found = yolo.translate(folder, None, None)
    assert list(found) == ["train", "val"] and found["train"].path == folder / "data.yaml"
    assert found["train"].found.examples == {"image_unlabelled": ["images/train/unlabelled.png"]}
    names = ("a.jpg", "empty.jpg", "unlabelled.png", "sub/turned.jpg")
    images = [entry(i, f"images/train/{name}") for i, name in enumerate(names, 1)]
    polygon = [6, 4, 30, 4, 30, 20, 6, 20]
    objects = [
        box(1, 1, 1, 15, 15, 30, 10),
        box(2, 1, 0, 6, 4, 24, 16, segmentation=[polygon]),
        box(3, 4, 0, 0, 0, 30, 40),
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "猫"}]
    manifest = same_records(found["train"], images, objects, categories)
    assert manifest.anomalies.counts == {
        "image_empty": 2,
        "image_exif_rotated": 1,
        "image_unlabelled": 1,
        "mask_absent": 2,
    }


def test_labels_of_another_split_have_their_images(files):
    """As of Darknet, whose splits are lists of images in one folder."""
    content = {f"{folder}/{name}": what for name in "ab" for folder, what in (("images", ""), ("labels", "0 0 0 1 1"))}
    content = {f"{name}.{'txt' if what else 'jpg'}": what for name, what in content.items()}
    lists = {"train.txt": "images/a.jpg", "val.txt": "images/b.jpg", "labels/gone.txt": ""}
    folder = files({"data.yaml": "names: [cat]\ntrain: train.txt\nval: val.txt\n", **content, **lists})
    for split in (None, "val"):
        found = yolo.translate(folder, None, split)
        assert [one.found.examples for one in found.values()] == [{"file_without_image": ["labels/gone.txt"]}] * len(
            found
        )


def test_lines_that_are_no_objects_are_counted(files, same_records):
    lines = (
        "0 0.5 0.5 0.5 0.5",
        "0 0.5 0.5 0.5 0.5 0.9",  # a detection with its score
        "cat 0.5 0.5 0.5 0.5",
        "0 0.1 0.1 0.2 0.2 0.3",
        "0.5 0.5 0.5 0.5 0.5",
        "0 nan 0.5 0.5 0.5",
        "0 1_0 0.5 0.5 0.5",
        "0",
        "7 0.5 0.5 0.5 0.5",
        "-1 0.5 0.5 0.5 0.5",
        "1 0.5 0.5 0 0.5",
    )
    folder = files(
        {
            "data.yml": "names: [cat, dog]\nnc: 2\ntrain: [images]\n",
            "images/a.jpg": picture(),
            "images/b.jpg": b"no image",
            "labels/a.txt": "\n".join(lines),
            "labels/b.txt": lines[0],
            "labels/gone.txt": lines[0],
            "labels/classes.txt": "cat\ndog\n",
            "labels/c.txt": "小狗".encode("gbk"),
            "images/c.jpg": picture(),
        }
    )
    found = yolo.translate(folder, None, None)["train"]
    assert found.found.counts == {"line_malformed": 7, "file_without_image": 1, "file_unreadable": 1}
    assert found.found.examples["line_malformed"][0] == "labels/a.txt, line 2: '0 0.5 0.5 0.5 0.5 0.9'"
    assert found.found.examples["file_without_image"] == ["labels/gone.txt"]
    assert [image["height"] for image in found.content["images"]] == [HEIGHT, 0]
    images = [entry(1, "images/a.jpg"), entry(2, "images/b.jpg", 0, 0)]
    whole = (15, 10, 30, 20)
    objects = [box(1, 1, 0, *whole), box(2, 1, 7, *whole), box(3, 1, -1, *whole), box(4, 1, 1, 30, 10, 0, 20)]
    nothing = {"id": 5, "image_id": 2, "category_id": 0, "iscrowd": 0}
    assert found.content["annotations"] == [*objects, nothing]
    manifest = same_records(found, images, [*objects, nothing], [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
    counts = manifest.anomalies.counts
    assert (counts["annotation_of_unknown_category"], counts["image_unreadable"]) == (2, 1)
    assert manifest.annotations.in_file == 5 + 7


@pytest.mark.parametrize(
    "content, splits",
    [
        ({"images/train/a.jpg": "", "labels/train/a.txt": "0 0 0 1 1"}, {"train": ["images/train/a.jpg"]}),
        ({"valid/images/a.jpg": "", "valid/labels/a.txt": "0 0 0 1 1"}, {"val": ["valid/images/a.jpg"]}),
        ({"a.jpg": "", "a.txt": "0 0 0 1 1"}, {"mine": ["a.jpg"]}),
        ({"images/a.jpg": "", "labels/a.txt": "0 0 0 1 1", "classes.txt": ""}, {"mine": ["images/a.jpg"]}),
    ],
)
def test_folders_without_a_data_yaml(files, content, splits):
    folder = files({**content, "classes.txt": "cat\r\n\r\ndog\r\n"})
    found = yolo.translate(folder, None, "mine" if "mine" in splits else None)
    names = {split: [image["file_name"] for image in one.content["images"]] for split, one in found.items()}
    assert names == splits
    for one in found.values():
        assert one.content["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
        assert one.path == folder / "classes.txt" and not one.found.counts


def test_lists_of_images_and_paths_of_windows(files):
    folder = files(
        {
            "data.yaml": "names: [cat]\ntrain: train.txt\nval: ..\\..\\lists\\val.txt\n",
            "train.txt": "./images/a.jpg\r\nimages\\b.jpg\nimages/gone.jpg\n",
            "lists/val.txt": "../images/b.jpg",
            "images/a.jpg": picture(),
            "images/b.jpg": picture(),
            "labels/a.txt": "0 0.5 0.5 1 1",
        }
    )
    found = yolo.translate(folder / "data.yaml", None, "train")["train"]
    assert [i["file_name"] for i in found.content["images"]] == ["images/a.jpg", "images/b.jpg", "images/gone.jpg"]
    with pytest.raises(UserError, match="no image of val has a label file: .*labels/b.txt; is the folder of labels"):
        yolo.translate(folder / "data.yaml", None, "val")


def test_labels_are_in_the_last_folder_images_or_beside():
    path = pathlib.Path("/images/set/images/train/images.jpg")
    assert yolo.label_path(path) == pathlib.Path("/images/set/labels/train/images.txt")
    assert yolo.label_path(pathlib.Path("/set/a.jpg")) == pathlib.Path("/set/a.txt")


LAUGHS = "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nnames: {0: *c}\ntrain: images\n"


@pytest.mark.parametrize(
    "text, split, words",
    [
        ("names: [cat]\ntrain: images\nkpt_shape: [17, 3]", None, "has labels of poses (kpt_shape)"),
        ("names: [cat]\nnc: 2\ntrain: images", None, "nc is 2, but names has 1; correct one of them"),
        ("names: [cat, no]\ntrain: images", None, "the name of class 1 is False, no text; put it in quotes"),
        ("names: {x: cat}\ntrain: images", None, "'x' is no number of a class"),
        ("names: cat\ntrain: images", None, "has no list of the names of the classes (names)"),
        ("names: [cat]\ntrain: images", "val", "has no split val; it names train"),
        ("names: [cat]\ntrain: gone", None, "train is gone, and neither "),
        ("names: [cat]\ntrain: 3", None, "train must name folders or lists of images"),
        (
            "names: [cat]\ntrain: \\",
            None,
            "train is \\, a folder that holds the whole data set; name that of the images",
        ),
        ("names: [cat]\ntrain: [images, ../]", None, "train is ../, a folder that holds the whole data set"),
        ("names: [cat]\ntrain: empty", None, "train (empty) has no image"),
        ("names: [cat\ntrain: images", None, "cannot be read as YAML: "),
        (
            "names: !!python/object/apply:os.system [ls]\ntrain: images",
            None,
            "cannot be read as YAML: could not determine",
        ),
        ("[1]", None, "is no data.yaml of YOLO"),
        (LAUGHS, None, "the name of class 0 is a list, no text"),
    ],
)
def test_a_data_yaml_that_cannot_be_used(files, text, split, words):
    folder = files({"data.yaml": text, "images/a.jpg": picture(), "labels/a.txt": "0 0 0 1 1", "empty/x.txt": ""})
    with pytest.raises(UserError) as error:
        yolo.translate(folder / "data.yaml", None, split)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, options, words",
    [
        ({}, {}, "has neither a data.yaml nor a classes.txt; name the classes with --classes"),
        ({"a.yaml": YAML, "b.yaml": YAML}, {}, "several files like data.yaml; give one of them"),
        ({"data.yaml": YAML}, {"classes": ["cat"]}, "has the names of the classes already; leave out --classes"),
        ({"classes.txt": "cat", "obj.names": "cat"}, {}, "has several lists of classes"),
        ({"classes.txt": "cat\ncat"}, {}, "classes.txt names cat twice"),
        ({"classes.txt": "cat"}, {}, "has no folders train, val, test; name the split"),
        ({"classes.txt": "cat", "train/x": ""}, {"split": "val"}, "has no split val, but train"),
        ({"classes.txt": "cat", "train/x": ""}, {}, "train has no image"),
        (
            {"images/train/x": "", "images/val/x": "", "images/valid/x": "", "classes.txt": "a"},
            {},
            "holds val and valid",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(files, content, options, words):
    folder = files({"x": "", **content})
    with pytest.raises(UserError) as error:
        yolo.translate(folder, options.get("classes"), options.get("split"))
    assert words in str(error.value)
