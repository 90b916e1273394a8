"""Folders of mask images: numbers of objects, one file per object, one folder per image."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.formats import mask_images
from awsdet.runtime.errors import UserError
from tests.data.formats.made import HEIGHT, WIDTH, box, entry, numbers, picture


def one(folder, split="train", **options):
    return mask_images.translate(folder, options.get("images"), options.get("classes"), split)[split]


def marked(*areas, dtype=np.uint8, size=(HEIGHT, WIDTH)):
    """A mask. areas: (number, x, y, width, height)."""
    values = np.zeros(size, dtype)
    for number, x, y, width, height in areas:
        values[y : y + height, x : x + width] = number
    return values


def segmentation(pixels):
    mask = coco_mask.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": list(pixels.shape), "counts": mask["counts"].decode()}


ONE = [{"id": 1, "name": "object"}]


def test_numbers_give_the_records_of_a_coco_file(files, same_records):
    small = marked((1, 5, 5, 10, 10), (255, 30, 20, 8, 4), (1, 50, 0, 5, 5))  # 1 has two parts
    deep = marked((300, 0, 0, 60, 10), (65535, 0, 30, 3, 3), dtype=np.uint16)
    folder = files(
        {
            "images/a.jpg": picture(),
            "images/猫.jpg": picture(),
            "images/c.jpg": picture(),
            "masks/a.png": numbers(small),
            "masks/猫_mask.png": numbers(deep),
            "masks/gone.png": numbers(small),
        }
    )
    found = one(folder)
    assert found.found.examples == {"image_unlabelled": ["c.jpg"], "file_without_image": ["masks/gone.png"]}
    objects = [
        box(1, 1, 1, 5, 0, 50, 15, segmentation=segmentation(small == 1), area=125),
        box(2, 1, 1, 30, 20, 8, 4, segmentation=segmentation(small == 255)),
        box(3, 3, 1, 0, 0, 60, 10, segmentation=segmentation(deep == 300)),
        box(4, 3, 1, 0, 30, 3, 3, segmentation=segmentation(deep == 65535)),
    ]
    same_records(found, [entry(1, "a.jpg"), entry(2, "c.jpg"), entry(3, "猫.jpg")], objects, ONE)


def test_a_file_per_object_names_its_class(files, same_records):
    mask = marked((255, 5, 5, 10, 10))
    grey = np.repeat(mask[:, :, None], 3, axis=2)  # saved as colours, which are grey
    folder = files(
        {
            "images/a.jpg": picture(),
            "masks/a/cat_1.png": numbers(mask),
            "masks/a/0002-dog.png": numbers(grey),
            "masks/a/catfish 3.png": numbers(mask),
            "masks/a/3.png": numbers(mask),
            "masks/a/cat_empty.png": numbers(marked()),
            "masks/a/dog.jpg": picture(),
        }
    )
    found = one(folder, classes=["cat", "dog", "catfish"])
    assert found.found.counts == {"mask_image": 3} and found.left_out == 3
    reasons = [text.partition(": ")[2] for text in found.found.examples["mask_image"]]
    assert reasons == [
        "its name begins and ends with none of the classes",
        "it has no pixel that is not 0",
        "it is a JPEG, which changes numbers; save masks as PNG",
    ]
    area = {"segmentation": segmentation(mask > 0)}
    objects = [box(number, 1, c, 5, 5, 10, 10, **area) for number, c in ((1, 2), (2, 1), (3, 3))]
    categories = [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "catfish"), 1)]
    same_records(found, [entry(1, "a.jpg")], objects, categories)


def test_a_folder_per_image(files):
    mask = numbers(marked((255, 5, 5, 10, 10)))
    masks = {"x1/masks/p.png": mask, "x1/masks/q.png": mask}
    folder = files({"x1/images/x1.png": picture(kind="PNG"), "x1/images/.DS_Store": "", **masks})
    found = one(folder)
    assert found.content["images"] == [entry(1, "x1/images/x1.png")] and not found.found.counts
    assert [a["bbox"] for a in found.content["annotations"]] == [[5, 5, 10, 10]] * 2


def test_a_folder_per_class_and_folders_of_splits(files):
    mask = numbers(marked((1, 5, 5, 10, 10), (2, 20, 5, 10, 10)))
    folder = files(
        {
            "images/train/a.jpg": picture(),
            "images/val/b.jpg": picture(),
            "masks/train/dog/a.png": mask,
            "masks/train/cat/a.png": mask,
            "masks/val/cat/b.png": mask,
        }
    )
    found = mask_images.translate(folder, None, ["cat", "dog"], None)
    assert [a["category_id"] for a in found["train"].content["annotations"]] == [1, 1, 2, 2]
    assert [image["file_name"] for image in found["val"].content["images"]] == ["b.jpg"]


def test_a_mask_of_another_size_is_no_mask_and_gives_no_box(files, same_records):
    turned = marked((1, 5, 5, 10, 10), size=(WIDTH, HEIGHT))
    sound = marked((1, 5, 5, 10, 10))
    content = {"images/a.jpg": picture(), "images/b.jpg": picture(), "masks/b.png": numbers(sound)}
    found = one(files({**content, "masks/a.png": numbers(turned)}))
    wrong = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "segmentation": segmentation(turned > 0)}
    objects = [wrong, box(2, 2, 1, 5, 5, 10, 10, segmentation=segmentation(sound > 0))]
    manifest = same_records(found, [entry(1, "a.jpg"), entry(2, "b.jpg")], objects, ONE)
    assert manifest.anomalies.counts == {"rle_turned": 1, "mask_dropped": 1, "annotation_malformed": 1}


@pytest.mark.parametrize(
    "content, options, words",
    [
        ({"images/a.jpg": ""}, {}, "has neither folders images and masks nor a folder per image with both in it"),
        ({"masks/a.png": ""}, {}, "images; masks belong to images of one name"),
        ({"masks/b.png": "", "images/a.jpg": ""}, {}, "has no mask that belongs to an image"),
        (
            {"masks/a.png": "", "images/a.jpg": ""},
            {"classes": ["x", "y"]},
            "cannot tell 2 classes apart; sort the masks",
        ),
        (
            {"x/masks/a.png": "", "x/images/a.jpg": "", "x/images/b.jpg": ""},
            {},
            "must hold one image; it holds 2",
        ),
        ({"masks/a.png": "", "images/a.jpg": ""}, {"split": None}, "name the split that all of it is with --split"),
    ],
)
def test_a_folder_that_cannot_be_used(files, content, options, words):
    with pytest.raises(UserError) as error:
        one(files(content), **{"split": "train", **options})
    assert words in str(error.value)


def test_pixels_of_something_else_are_not_taken_for_objects(files):
    values = np.arange(150 * 100, dtype=np.uint16).reshape(100, 150)
    folder = files({"images/a.jpg": picture(150, 100), "masks/a.png": numbers(values)})
    assert one(folder).found.examples["mask_image"] == ["masks/a.png: it has 14999 numbers, more than objects"]
