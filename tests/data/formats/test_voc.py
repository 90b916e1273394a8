"""Pascal VOC, with what its files hold in the wild."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.formats import voc
from awsdet.runtime.errors import UserError
from tests.data.formats.made import HEIGHT, WIDTH, box, entry, numbers, picture


def xml(*objects, name="a.jpg", size=(WIDTH, HEIGHT), start="", end=""):
    """An XML file. objects: (name, xmin, ymin, xmax, ymax[, further elements])."""
    parts = [f"<filename>{name}</filename>"]
    if size:
        parts.append(f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>")
    for what, *corners in objects:
        tags = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners))
        parts.append(f"<object><name>{what}</name>{''.join(corners[4:])}<bndbox>{tags}</bndbox></object>")
    return f"{start}<annotation>{''.join(parts)}{end}</annotation>"


def one(folder, split="train", **options):
    return voc.translate(folder, options.get("images"), options.get("classes"), split)[split]


DIFFICULT = "<difficult>1</difficult>"


def test_the_devkit_gives_the_records_of_a_coco_file(files, same_records):
    folder = files(
        {
            "VOC2012/JPEGImages/a.jpg": picture(),
            "VOC2012/JPEGImages/猫.png": picture(kind="PNG"),
            "VOC2012/JPEGImages/c.jpg": picture(),
            "VOC2012/Annotations/a.xml": xml(("dog", 1, 1, 60, 40), ("cat", 11, 6, 20, 30, DIFFICULT)),
            "VOC2012/Annotations/猫.xml": xml(("cat", "2.5", 3, 8, 9), name="猫.png"),
            "VOC2012/Annotations/c.xml": xml(("猫", 1, 1, 5, 5)),
            "VOC2012/ImageSets/Main/train.txt": "\ufeffa\r\n猫\r\n",
            "VOC2012/ImageSets/Main/val.txt": "c\n",
            "VOC2012/ImageSets/Main/cat_train.txt": "a  1\n猫 -1\n",
            "VOC2012/ImageSets/Main/trainval.txt": "a\n猫\nc\n",
        }
    )
    found = voc.translate(folder, None, None, None)
    assert list(found) == ["train", "val"] and str(found["val"]) == str(folder / "VOC2012/Annotations")
    assert found["train"].found.counts == {"object_difficult": 1}
    assert [c["name"] for c in found["val"].content["categories"]] == ["cat", "dog", "猫"]
    # Pixels are counted from 1, and the last is part of the box.
    objects = [box(1, 1, 2, 0, 0, 60, 40), box(2, 1, 1, 10, 5, 10, 25, iscrowd=1), box(3, 2, 1, 1.5, 2, 6.5, 7)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "猫"}]
    same_records(found["train"], [entry(1, "a.jpg"), entry(2, "猫.png")], objects, categories)
    assert list(voc.translate(folder, None, None, "trainval")) == ["trainval"]


def test_masks_have_the_numbers_of_objects(files, same_records):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[5:15, 10:30], values[5:8, 10:12], values[20:30, 40:50], values[0, 0] = 1, 255, 2, 7
    folder = files(
        {
            "JPEGImages/a.jpg": picture(),
            "Annotations/a.xml": xml(("cat", 11, 6, 30, 15), ("cat", 41, 21, 50, 30), ("dog", 1, 1, 9, 9)),
            "SegmentationObject/a.png": numbers(values),
        }
    )
    found = one(folder)
    assert found.found.counts == {"mask_image": 1}
    assert found.found.examples["mask_image"] == ["a.png: its value 7 is that of no object"]
    masks = [coco_mask.encode(np.asfortranarray(values == number, np.uint8)) for number in (1, 2)]
    masks = [{**mask, "counts": mask["counts"].decode()} for mask in masks]
    objects = [
        box(1, 1, 1, 10, 5, 20, 10, segmentation=masks[0], area=194),
        box(2, 1, 1, 40, 20, 10, 10, segmentation=masks[1]),
        box(3, 1, 2, 0, 0, 9, 9),
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert same_records(found, [entry(1, "a.jpg")], objects, categories).has_masks


def test_a_mask_of_colours_is_left_out_and_the_box_stays(files):
    folder = files(
        {
            "JPEGImages/a.jpg": picture(),
            "Annotations/a.xml": xml(("cat", 11, 6, 30, 15)),
            "SegmentationObject/a.png": picture(kind="PNG"),
        }
    )
    found = one(folder)
    assert "its pixels are colours, not numbers" in found.found.examples["mask_image"][0]
    assert found.content["annotations"] == [box(1, 1, 1, 10, 5, 20, 10)]


def test_a_writer_that_counts_from_0_is_noticed(files):
    """One box shows it for the whole data set, also for other splits."""
    folder = files(
        {
            "JPEGImages/a.jpg": picture(),
            "JPEGImages/b.jpg": picture(),
            "Annotations/a.xml": xml(("cat", 0, 6, 30, 15)),
            "Annotations/b.xml": xml(("cat", 10, 6, 30, 15)),
            "ImageSets/Main/train.txt": "a",
            "ImageSets/Main/val.txt": "b.jpg",
        }
    )
    found = voc.translate(folder, None, None, None)
    assert found["train"].found.examples == {"box_from_zero": ["a.xml, object 1"]}
    assert found["val"].content["annotations"] == [box(1, 1, 1, 10, 6, 20, 9)] and not found["val"].found.counts


@pytest.mark.parametrize(
    "data",
    [
        xml(("猫", 2, 2, 5, 5), start='<?xml version="1.0" encoding="GBK"?>').encode("gbk"),
        xml(("猫", 2, 2, 5, 5), start='\n<?xml version="1.0"?>').encode(),
        xml(("猫", 2, 2, 5, 5)).encode("utf-16"),
        xml(("猫", 2, 2, 5, 5)).encode("utf-8-sig"),
        xml(("猫", 2, 2, 5, 5), start='<?xml version="1.0" encoding="utf-16"?>').encode("utf-16"),
    ],
)
def test_encodings(files, data):
    folder = files({"JPEGImages/a.jpg": picture(), "Annotations/a.xml": data})
    assert one(folder).content["categories"] == [{"id": 1, "name": "猫"}]


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c SYSTEM "file:///etc/passwd">]><annotation><filename>&b;&c;</filename></annotation>"""


@pytest.mark.parametrize(
    "data, words",
    [
        (BOMB, "a.xml: it has a DOCTYPE, which may declare entities; remove it"),
        ("<annotation>", "a.xml: it is no valid XML: no element found"),
        ("", "a.xml: it is no valid XML: no element found"),
        ("<svg/>", "its first element is <svg>, not <annotation>"),
        ("<a>" * 50 + "</a>" * 50, "it has more than 32 elements within each other"),
        (xml(("小狗", 1, 1, 5, 5)).encode("gbk"), "is no UTF-8; save it as UTF-8"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "its encoding 'klingon' is not known"),
        ("<annotation>&x;</annotation>", "undefined entity"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_its_image_out(files, data, words):
    folder = files(
        {
            "JPEGImages/a.jpg": picture(),
            "JPEGImages/b.jpg": picture(),
            "Annotations/a.xml": data,
            "Annotations/b.xml": xml(("cat", 2, 2, 5, 5)),
        }
    )
    found = one(folder)
    assert words in found.found.examples["file_unreadable"][0] and found.found.counts == {"file_unreadable": 1}
    assert [image["file_name"] for image in found.content["images"]] == ["b.jpg"]


def test_odd_files_keep_what_can_be_kept(files, same_records):
    """Names by Windows paths, missing images, sizes and boxes, images of two suffixes, unread parts, no objects."""
    part = "<part><name>head</name><bndbox/></part>"
    folder = files(
        {
            "images/a.JPG": picture(),
            "images/b.jpg": picture(),
            "images/b.png": picture(kind="PNG"),
            "images/other.jpg": picture(),
            "images/turned.jpg": picture(HEIGHT, WIDTH, orientation=6),
            "images/alone.jpg": picture(),
            "annotations/a.xml": xml(("cat", 2, 3, 5, 6, part), ("dog", "x", 1, "", 9), name="C:\\me\\a.JPG"),
            "annotations/b.xml": xml(name="b.png"),
            "annotations/c.xml": xml(("cat", 2, 2, 9, 9), name="D:\\other.jpg"),
            "annotations/d.xml": xml(("cat", 2, 2, 9, 9), name="gone.jpg"),
            "annotations/turned.xml": xml(("cat", 2, 2, 51, 9), size=None),
        }
    )
    found = one(folder, split="all")
    assert found.found.counts == {"object_unread": 1, "image_without_file": 2}
    assert found.found.examples["image_without_file"] == ["alone.jpg", "b.jpg"]
    images = [entry(1, "a.JPG"), entry(2, "b.png"), entry(3, "other.jpg"), entry(4, "gone.jpg"), entry(5, "turned.jpg")]
    broken = box(2, 1, 2, 0, 0, 0, 0)
    broken.update(bbox=["x", 1.0, "", 9.0])
    del broken["area"]
    objects = [box(1, 1, 1, 1, 2, 4, 4), broken, box(3, 3, 1, 1, 1, 8, 8), box(4, 4, 1, 1, 1, 8, 8)]
    objects.append(box(5, 5, 1, 1, 1, 50, 8))
    assert found.content["images"] == images and found.content["annotations"] == objects
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    manifest = same_records(found, images, objects, categories)
    counts = manifest.anomalies.counts
    assert counts["image_missing"] == counts["annotation_of_skipped_image"] == counts["annotation_malformed"] == 1
    assert (manifest.annotations.in_file, manifest.annotations.kept) == (5, 3)


def test_a_list_of_classes_gives_the_order_and_leaves_others_out(files):
    content = {"JPEGImages/a.jpg": picture(), "Annotations/a.xml": xml(("cat", 2, 3, 5, 6), ("dog", 2, 3, 5, 6))}
    found = one(files(content), classes=["zebra", "dog"])
    assert found.content["categories"] == [{"id": 1, "name": "zebra"}, {"id": 2, "name": "dog"}]
    assert [a["category_id"] for a in found.content["annotations"]] == ["cat", 2]  # counted as an unknown category


def test_folders_of_splits_and_flat_folders(files):
    """As Roboflow has them, images beside XML files."""
    content = {
        f"{split}/{split}.{suffix}": data
        for split, name in (("train", "dog"), ("valid", "cat"))
        for suffix, data in (("jpg", picture()), ("xml", xml((name, 2, 3, 5, 6))))
    }
    folder = files(content)
    alone = voc.translate(folder, None, None, "val")
    assert list(alone) == ["val"] and [c["name"] for c in alone["val"].content["categories"]] == ["cat", "dog"]
    assert {split: one.content["images"] for split, one in voc.translate(folder, None, None, None).items()} == {
        "train": [entry(1, "train.jpg")],
        "val": [entry(1, "valid.jpg")],
    }
    assert list(voc.translate(folder / "train", None, None, "mine")) == ["mine"]


@pytest.mark.parametrize(
    "content, split, words",
    [
        ({"a.txt": ""}, "train", "has no XML file with an object; is it a data set of Pascal VOC?"),
        ({"Annotations/a.xml": xml()}, "train", "has no XML file with an object"),
        ({"Annotations/a.xml": xml(("cat", 1, 1, 3, 3))}, None, "has no lists in ImageSets/Main; name the split"),
        ({"a.xml": xml(("cat", 1, 1, 3, 3))}, None, "has no ImageSets and no folders train, val, test; name the split"),
        ({"train/a.xml": xml(("cat", 1, 1, 3, 3))}, "val", "has no folder of the split val, but train"),
        ({"VOC2007/Annotations/a.xml": "", "VOC2012/Annotations/a.xml": ""}, None, "several data sets of Pascal VOC"),
        (
            {"Annotations/a.xml": xml(("cat", 1, 1, 3, 3)), "ImageSets/Main/mine.txt": "a"},
            None,
            "of the lists train, val",
        ),
        (
            {"Annotations/a.xml": xml(("cat", 1, 1, 3, 3)), "ImageSets/Main/mine.txt": "a"},
            "val",
            "no list val, but mine",
        ),
        (
            {"images/a.jpg": b"", "images/a.png": b"", "annotations/a.xml": xml(("cat", 1, 1, 3, 3), name="x.jpg")},
            "train",
            "holds several images called a: a.jpg, a.png; keep one of them",
        ),
    ],
)
def test_what_cannot_be_understood_in_one_way_is_refused(files, content, split, words):
    with pytest.raises(UserError) as error:
        voc.translate(files(content), None, None, split)
    assert words in str(error.value) and "\n" not in str(error.value)
