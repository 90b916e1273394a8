"""Kinds of oddities, each on annotations that have it, nearly have it, or do not."""

from typing import NamedTuple

import numpy as np
import pytest

from awsdet.data.records.inspection import Contents
from awsdet.survey.choice import spread
from awsdet.survey.oddities import WORST, odd_sections

NO_PAIRS = np.zeros((0, 2), int)


class Sizes(NamedTuple):
    width: np.ndarray
    height: np.ndarray
    has_masks: bool


class Made(NamedTuple):
    manifest: Sizes
    contents: Contents


def made(*annotations):
    """An inspection of one image per annotation, each 100 x 80 px: dicts of x, y, width, height and what differs."""
    count = len(annotations)
    box = np.array([[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in annotations)], float).reshape(-1, 4)
    bounds = [a.get("mask_box", corners) for a, corners in zip(annotations, box)]
    sizes = [(b[2] - b[0]) * (b[3] - b[1]) for b in bounds]
    contents = Contents(
        class_index=np.zeros(count, int),
        area=np.array([a.get("area", size) for a, size in zip(annotations, sizes)], float),
        is_crowd=np.array([a.get("crowd", False) for a in annotations], bool),
        is_trainable=np.array([a.get("trainable", True) for a in annotations], bool),
        mask=np.array(["none" if a.get("mask_box", 0) is None else "polygons" for a in annotations], "<U8"),
        row=np.arange(count),
        id=np.arange(count),
        box=box,
        mask_box=np.array([[np.nan] * 4 if b is None else b for b in bounds], float).reshape(-1, 4),
        mask_area=np.array([a.get("mask_area", size) for a, size in zip(annotations, sizes)], float),
    )
    return Made(Sizes(np.full(count, 100), np.full(count, 80), True), contents)


def maskless(**annotation):
    return {**annotation, "mask_box": [np.nan] * 4, "mask_area": np.nan, "area": 100}


def kinds(*annotations):
    """Kind -> positions of the annotations that are shown as it, the worst first."""
    return {s.key: [shown.marked[0] for shown in s.shown] for s in odd_sections(made(*annotations), NO_PAIRS)}


PLAIN = {"bbox": [10, 10, 40, 30]}


def test_ordinary_annotations_are_not_odd():
    rounding = {"bbox": [-0.6, 0, 101, 80.9]}
    crowd = {"bbox": [5, 5, 90, 70], "crowd": True, "mask_area": 4000}
    assert kinds(PLAIN, rounding, crowd, maskless(bbox=[50, 40, 30, 30])) == {}
    assert kinds() == {}


@pytest.mark.parametrize(
    "annotation, flipped",
    [
        ({"bbox": [50, 40, 90, 70], "mask_box": [50, 40, 90, 70]}, True),
        ({"bbox": [50, 40, 90, 70]}, False),  # its mask reaches out as far
        (maskless(bbox=[50, 40, 90, 70]), True),
        (maskless(bbox=[50, 40, 45, 70]), False),  # x2 would be left of x1
        (maskless(bbox=[10, 10, 93, 75]), False),  # too little for two corners: 3 and 5 px
        (maskless(bbox=[50, 40, 190, 70]), False),  # as corners it reaches out, too
        (maskless(bbox=[5, 5, 50, 40]), False),  # inside the image either way
    ],
)
def test_boxes_that_look_like_corners(annotation, flipped):
    assert ("xyxy" in kinds(annotation)) == flipped


def test_boxes_that_contradict_their_mask_come_by_their_iou():
    found = kinds(
        PLAIN,
        {"bbox": [0, 0, 40, 30], "mask_box": [30, 0, 70, 30]},  # IoU 10 / 70
        {"bbox": [0, 0, 40, 30], "mask_box": [60, 40, 90, 70]},  # none
        {"bbox": [0, 0, 40, 30], "mask_box": [0, 0, 15, 30]},  # 15 / 40, enough
    )
    assert found["off-mask"] == [2, 1]


def test_masks_areas_and_sizes():
    found = kinds(
        PLAIN,
        {**PLAIN, "mask_area": 0},
        {**PLAIN, "area": -3},
        {**PLAIN, "area": 0},
        {**PLAIN, "mask_area": 500, "area": 1200},
        {**PLAIN, "mask_area": 700, "area": 1200},  # less than twice as much
        {"bbox": [10, 10, 4, 3], "mask_area": 3, "area": 12},  # four times, but a few px
        {**PLAIN, "trainable": False},
        {"bbox": [0, 10, 90, 4]},
        {"bbox": [0, 10, 60, 4]},
        {**PLAIN, "crowd": True, "bbox": [0, 10, 90, 3]},
    )
    assert found == {"empty-mask": [1], "no-area": [2, 3], "area": [4], "untrained": [7], "thin": [8]}


def test_boxes_that_reach_out_come_by_how_far():
    found = kinds(PLAIN, {"bbox": [-20, 0, 40, 30]}, {"bbox": [70, 60, 28, 50]}, {"bbox": [99, 0, 2, 30]})
    assert found == {"clipped": [2, 1]}


def test_numbers_of_any_size():
    found = kinds(PLAIN, maskless(bbox=[-1e308, -1e308, 1e308, 1e308]), maskless(bbox=[1, 1, 1e300, 5]))
    assert set(found["clipped"]) == {1, 2}


def test_objects_without_a_mask_among_others_with_one():
    inspection = made(PLAIN, maskless(**PLAIN), {**maskless(**PLAIN), "crowd": True})
    contents = inspection.contents._replace(mask=np.array(["polygons", "none", "none"]))
    inspection = inspection._replace(contents=contents)
    (section,) = odd_sections(inspection, NO_PAIRS)
    assert (section.key, section.total, section.shown[0].marked) == ("maskless", 1, (1,))
    assert odd_sections(inspection._replace(manifest=inspection.manifest._replace(has_masks=False)), NO_PAIRS) == []


def test_only_the_worst_few_are_shown_and_all_are_counted():
    (section,) = odd_sections(made(*({**PLAIN, "area": -i} for i in range(1, 30))), NO_PAIRS)
    assert section.total == 29 and len(section.shown) == WORST
    assert [shown.why for shown in section.shown[:2]] == ["area -29", "area -28"]


def test_objects_annotated_twice_are_both_marked():
    (section,) = odd_sections(made(PLAIN, PLAIN, PLAIN), np.array([[0, 1], [0, 2], [1, 2]]))
    assert section.key == "repeated" and section.total == 2 and section.shown[0].marked == (0, 1)


def test_objects_of_one_image_do_not_fill_a_section():
    assert spread([5, 5, 5, 6, 5, 7], 4) == [0, 1, 3, 5]
    assert spread([5, 5, 6], 2, 1) == [0, 2] and spread([], 3) == []
