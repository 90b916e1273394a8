"""labelme: shapes of all kinds, groups, and images that are somewhere else."""

import base64
import json
import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.formats import labelme
from awsdet.runtime.errors import UserError
from tests.data.formats.made import HEIGHT, WIDTH, box, entry, numbers, picture


def shape(label, points, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **more}


def page(*shapes, image="a.jpg", size=(HEIGHT, WIDTH), **changes):
    sides = {"imageHeight": size[0], "imageWidth": size[1]} if size else {}
    content = {"version": "5.4.1", "shapes": list(shapes), "imagePath": image, "imageData": "AAAA", **sides, **changes}
    return json.dumps(content, ensure_ascii=False)


def one(folder, split="train", **options):
    return labelme.translate(folder, options.get("images"), options.get("classes"), split)[split]


SQUARE = [[4, 4], [14, 4], [14, 14], [4, 14]]
FLAT = [float(number) for point in SQUARE for number in point]
OTHER = [[30.5, 20], [40.5, 20], [40.5, 30]]


def test_shapes_give_the_records_of_a_coco_file(files, same_records):
    folder = files(
        {
            "a.jpg": picture(),
            "b.png": picture(kind="PNG"),
            "a.json": page(
                shape("猫", SQUARE),
                shape("dog", [[50, 30], [20, 5]], "rectangle"),
                shape("猫", [[30, 20], [30, 25]], "circle"),
                {"label": "dog", "points": SQUARE},  # as early versions wrote it
            ),
            "b.json": page(image="b.png"),
        }
    )
    found = one(folder)
    assert not found.found.counts and str(found) == str(folder)
    corners = [2 * math.pi * corner / 64 for corner in range(64)]
    circle = [number for a in corners for number in (30 + 5 * math.cos(a), 20 + 5 * math.sin(a))]
    round_one = found.content["annotations"][2]
    np.testing.assert_allclose(round_one["segmentation"][0], circle)
    np.testing.assert_allclose([*round_one["bbox"], round_one["area"]], [25, 15, 10, 10, 25 * math.pi], rtol=2e-3)
    objects = [
        box(1, 1, 2, 4, 4, 10, 10, segmentation=[FLAT]),
        box(2, 1, 1, 20, 5, 30, 25),
        round_one,
        box(4, 1, 1, 4, 4, 10, 10, segmentation=[FLAT]),
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "猫"}]
    manifest = same_records(found, [entry(1, "a.jpg"), entry(2, "b.png")], objects, categories)
    assert manifest.anomalies.counts == {"image_empty": 1, "mask_absent": 1}


def test_shapes_of_one_label_and_group_are_one_object(files, same_records):
    group = {"group_id": 1}
    folder = files(
        {
            "a.jpg": picture(),
            "a.json": page(
                shape("cat", SQUARE, **group),
                shape("dog", SQUARE, **group),
                shape("cat", OTHER, **group),
                shape("cat", SQUARE),
                shape("dog", [[1, 1], [5, 5]], "rectangle", group_id=2),
                shape("dog", [[9, 9], [7, 7]], "rectangle", group_id=2),
                shape("cat", SQUARE, group_id=3),
                shape("cat", [[20, 2], [30, 8]], "rectangle", group_id=3),
            ),
        }
    )
    other = [float(number) for point in OTHER for number in point]
    corners = [20.0, 2.0, 30.0, 2.0, 30.0, 8.0, 20.0, 8.0]
    objects = [
        box(1, 1, 1, 4, 4, 36.5, 26, segmentation=[FLAT, other], area=150),
        box(2, 1, 2, 4, 4, 10, 10, segmentation=[FLAT]),
        box(3, 1, 1, 4, 4, 10, 10, segmentation=[FLAT]),
        box(4, 1, 2, 1, 1, 8, 8),
        box(5, 1, 1, 4, 2, 26, 12, segmentation=[FLAT, corners], area=160),
    ]
    same_records(one(folder), [entry(1, "a.jpg")], objects, [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])


def test_masks_in_base64(files, same_records):
    part = np.zeros((6, 8), np.uint8)
    part[1:5, 2:8] = 255
    text = base64.b64encode(numbers(part)).decode()
    folder = files(
        {
            "a.jpg": picture(),
            "a.json": page(
                shape("cat", [[10, 5], [17, 10]], "mask", mask=text),
                shape("cat", [[58, 5], [65, 10]], "mask", mask=text),
                shape("cat", [[10, 5], [17, 10]], "mask", mask="no base64"),
                shape("cat", [[10, 5], [17, 10]], "mask"),
                shape("dog", [[10, 5], [17, 10]], "mask", mask=text, group_id=1),
                shape("dog", SQUARE, group_id=1),
            ),
        }
    )
    found = one(folder)
    assert found.found.counts == {"object_unread": 3} and found.left_out == 3
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[6:10, 12:18] = 1
    mask = coco_mask.encode(np.asfortranarray(pixels))
    mask["counts"] = mask["counts"].decode()
    both = {"id": 2, "image_id": 1, "category_id": 2, "iscrowd": 0, "segmentation": [mask, FLAT]}
    objects = [box(1, 1, 1, 12, 6, 6, 4, segmentation=mask), both]
    manifest = same_records(found, [entry(1, "a.jpg")], objects, [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}])
    assert manifest.annotations.kept == 2 and manifest.annotations.in_file == 5


def test_what_is_no_object_is_counted(files):
    folder = files(
        {
            "a.jpg": picture(),
            "a.json": page(
                shape("cat", [[1, 1]], "point"),
                shape("cat", SQUARE, "line"),
                shape("cat", SQUARE[:2]),
                shape("cat", [[1, "x"], [2, 2], [3, 3]]),
                shape("cat", None),
                shape("_background_", SQUARE),
                shape(None, SQUARE),
                "shape",
                shape("cat", SQUARE),
            ),
        }
    )
    found = one(folder)
    assert found.found.counts == {"object_unread": 8} and found.left_out == 8
    assert found.found.examples["object_unread"][0] == "a.json, shape 1: a 'point'"
    assert len(found.content["annotations"]) == 1 and len(found.content["categories"]) == 1


def test_images_elsewhere_and_files_that_cannot_be_read(files):
    folder = files(
        {
            "images/a.jpg": picture(),
            "images/b.jpg": picture(),
            "images/c.jpg": picture(),
            "images/alone.jpg": picture(),
            "images/turned.jpg": picture(HEIGHT, WIDTH, orientation=6),
            "labels/1.json": page(shape("cat", SQUARE), image="..\\images\\a.jpg"),
            "labels/b.json": page(shape("cat", SQUARE), image="C:\\photos\\b.jpeg").encode("utf-16"),
            "labels/gone.json": page(shape("cat", SQUARE), image="gone.jpg"),
            "labels/turned.json": page(shape("cat", SQUARE), image="../images/turned.jpg", size=None),
            "labels/c.json": "{",
            "labels/coco.json": json.dumps({"images": []}),
        }
    )
    found = one(folder, images=folder / "images")
    names = [image["file_name"] for image in found.content["images"]]
    assert names == ["a.jpg", "b.jpg", "gone.jpg", "turned.jpg"]
    assert found.content["images"][3] == entry(4, "turned.jpg")
    assert found.found.counts == {"file_unreadable": 2, "image_without_file": 1}
    assert found.found.examples["image_without_file"] == ["alone.jpg"]
    beside = one(folder)  # names relative to the whole data set
    assert [image["file_name"] for image in beside.content["images"]][0] == "images/a.jpg"


@pytest.mark.parametrize(
    "content, split, words",
    [
        ({"a.jpg": ""}, "train", "has no readable labelme files"),
        ({"a.json": "[]"}, "train", "has no readable labelme files"),
        ({"a.json": page()}, "train", "has no shape in its labelme files"),
        ({"a.json": page()}, None, "has no folders train, val, test; name the split that all of it is with --split"),
        ({"train/a.json": page()}, "val", "has no folder of the split val, but train"),
    ],
)
def test_a_folder_that_cannot_be_used(files, content, split, words):
    with pytest.raises(UserError) as error:
        labelme.translate(files(content), None, None, split)
    assert words in str(error.value)


def test_splits_are_folders_with_the_same_classes(files):
    folder = files(
        {
            "train/a.jpg": picture(),
            "train/a.json": page(shape("dog", SQUARE)),
            "test/b.jpg": picture(),
            "test/b.json": page(shape("cat", SQUARE), image="b.jpg"),
        }
    )
    found = labelme.translate(folder, None, None, None)
    assert list(found) == ["train", "test"]
    assert found["train"].content["categories"] == found["test"].content["categories"]
    assert found["test"].content["annotations"][0]["category_id"] == 1
    alone = labelme.translate(folder, None, None, "train")
    assert list(alone) == ["train"] and alone["train"].content == found["train"].content
