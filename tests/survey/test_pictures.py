"""Pictures of records: what is marked, what is enlarged, and numbers that must reach no C code."""

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.data.coco.cleaning import Annotation
from awsdet.data.records.inspection import inspect
from awsdet.inference.drawing import DrawnObject
from awsdet.survey import pictures
from awsdet.survey.choice import Shown
from tests.survey import odd_set


@pytest.fixture(scope="module")
def train(odd_records):
    return inspect(odd_records, "train", look=True)[0]


def position(inspection, number):
    """Of an annotation, in the contents."""
    return int(np.flatnonzero(inspection.contents.id == number)[0])


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)


def annotation(**changes):
    usual = {
        "id": 1,
        "class_index": 0,
        "bbox": (2.0, 2.0, 5.0, 5.0),
        "area": 25.0,
        "is_crowd": False,
        "polygons": [],
        "counts": None,
        "trainable": True,
        "order": 0,
    }
    return Annotation(**{**usual, **changes})


def test_the_size_the_name_and_the_classes(train):
    row = int(np.flatnonzero(train.manifest.image_id == 2)[0])
    picture = pictures.draw(train, Shown(row))
    assert picture.file_name == 'a "b" <i>c&d.jpg' and picture.original == (120, 160)
    assert max(picture.size) == 420 and picture.problem == ""
    assert sum(kind.count for kind in picture.kinds) == 10
    written = {kind.name: kind.written for kind in picture.kinds}
    assert written["person"] and len(picture.kinds) == 8
    assert [kind.count for kind in picture.kinds] == sorted((kind.count for kind in picture.kinds), reverse=True)


def test_only_the_marked_object_has_a_mask(train):
    row = int(train.contents.row[position(train, 100)])
    all_of_it = pictures.draw(train, Shown(row))
    marked = pictures.draw(train, Shown(row, "", (position(train, 101),)))
    first = pixels(all_of_it)[100:160, 80:180].mean((0, 1)) - pixels(marked)[100:160, 80:180].mean((0, 1))
    assert np.abs(first).max() > 20  # the first object's mask is gone
    second = pixels(all_of_it)[150:200, 260:320] - pixels(marked)[150:200, 260:320]
    assert np.abs(second).mean() < 3  # the second one's is not


def test_a_small_object_is_enlarged_with_its_surroundings(train):
    place = position(train, 1024)  # 3 x 3 px at 2, 2
    enlarged = pictures.draw(train, Shown(int(train.contents.row[place]), "", (place,), zoom=True))
    assert enlarged.size == (420, 420) and enlarged.original == (120, 160)
    source = odd_set.scene(10)[:56, :56]
    expected = np.asarray(Image.fromarray(source).resize((420, 420), Image.Resampling.BILINEAR)).astype(int)
    free = slice(200, 400), slice(50, 200)  # of boxes
    assert np.abs(pixels(enlarged)[free] - expected[free]).mean() < 10
    assert np.abs(pixels(enlarged)[:60, :60] - expected[:60, :60]).mean() > 20  # box, mask and label


@pytest.mark.parametrize(
    "box", [(0, 0, 3, 3), (97, 47, 100, 50), (-20, -20, 500, 500), (50, 20, 50, 20), (200, 200, 210, 210)]
)
def test_windows_lie_in_the_image(box):
    image = np.arange(50 * 100 * 3, dtype=np.uint8).reshape(50, 100, 3)
    mask = coco_mask.encode(np.asfortranarray(np.ones((50, 100), np.uint8)))
    window, objects = pictures.window(image, [DrawnObject(box, "x", 0, mask), DrawnObject((0, 0, 100, 50), "y", 1)])
    assert 0 < window.shape[0] <= 50 and 0 < window.shape[1] <= 100
    for item in objects:
        if item.mask is not None:
            assert item.mask["size"] == list(window.shape[:2]) and coco_mask.decode(item.mask).all()


def test_a_window_moves_boxes_and_cuts_masks():
    image = np.zeros((200, 300, 3), np.uint8)
    bitmap = np.zeros((200, 300), np.uint8)
    bitmap[100:110, 150:170] = 1
    item = DrawnObject((150, 100, 170, 110), "x", 0, coco_mask.encode(np.asfortranarray(bitmap)))
    window, (moved, *others) = pictures.window(image, [item, DrawnObject((0, 0, 9, 9), "far away", 1)])
    assert window.shape[:2] == (80, 80) and not others
    assert moved.box == (30, 35, 50, 45)
    cut = coco_mask.decode(moved.mask)
    assert cut[35:45, 30:50].all() and cut.sum() == 200


@pytest.mark.parametrize("number", [1e9, -1e9, 1e308, 3e10])
def test_numbers_of_any_size_are_cut_before_they_reach_c_code(number):
    mask = pictures._mask(annotation(polygons=[[5, 5, number, 5, number, 30, 5, 30]]), (40, 60))
    assert mask["size"] == [40, 60]
    made = pictures._object(annotation(bbox=(number, number, number, number)), ["a"], (40, 60), True, True)
    assert np.isfinite(made.box).all()


@pytest.mark.parametrize("counts", [[10], [2400, 1], [-5, 2405], [0, 2400]])
def test_run_lengths_that_do_not_fit_are_no_mask(counts):
    mask = pictures._mask(annotation(counts=counts), (40, 60))
    if counts == [0, 2400]:
        assert coco_mask.area(mask) == 2400
    else:
        assert mask is None


def test_crowds_and_objects_for_evaluation_only_stand_out():
    crowd = pictures._object(annotation(is_crowd=True), ["a"], (40, 60), True, True)
    untrained = pictures._object(annotation(), ["a"], (40, 60), True, False)
    assert (crowd.label, crowd.outline, crowd.short) == ("a (crowd)", "dashed", "class 0 (crowd)")
    assert (untrained.label, untrained.outline) == ("a (not trained on)", "dotted")
    assert pictures._object(annotation(), ["a"], (40, 60), False, True).label == ""


def test_an_image_alone(train):
    picture = pictures.plain(train, 0, 80)
    assert picture.size == (80, 60) and picture.kinds == []
