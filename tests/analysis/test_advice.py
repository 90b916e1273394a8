"""The first words follow the figures."""

import pytest

from awsdet.analysis.advice import first_words
from awsdet.analysis.report import analyse
from tests.analysis.scene import scene, small

SMALL, A, FAR = [5, 5, 10, 10], [10, 10, 40, 40], [120, 100, 30, 30]


def words(objects, detections, **options):
    report = analyse(*small(objects, detections, **options), with_masks=False)
    return first_words(report.kinds[0], report.labels)


def test_small_missed_objects():
    text = words([(0, 0, SMALL), (0, 0, A)], [(0, 0, A, 0.9)])
    assert text[0] == "AP at IoU 0.5 is 50.5; 49.5 of 100 points are lost."
    assert "finding objects that are missed altogether: 49.5 points (1 of them)" in text[1]
    assert "small (under 32 x 32 px) make 49.5 of these points" in text[1] and "data.short_sides" in text[1]


@pytest.mark.parametrize(
    "objects, detections, expected",
    [
        ([(0, 0, A)], [(0, 1, A, 0.9)], "class 0 taken for class 1 (1)"),
        (
            [(0, 0, A)],
            [(0, 0, [30, 10, 40, 40], 0.9)],
            "placing detections of the right class more exactly: 100.0 points",
        ),
        ([(0, 0, A)], [(0, 0, FAR, 0.9), (0, 0, A, 0.5)], "where there is no object: 50.0 points"),
        ([(0, 0, A), (0, 0, FAR)], [(0, 0, A, 0.9), (0, 0, A, 0.8), (0, 0, FAR, 0.7)], "model.nms_iou"),
        ([(0, 0, FAR), (0, 0, A)], [(0, 0, FAR, 0.9)], "of medium size make 49.5 of these points. Look at"),
    ],
)
def test_the_kind_that_costs_most_comes_first(objects, detections, expected):
    assert expected in words(objects, detections)[1]


def test_a_second_kind_is_named_if_it_costs_nearly_as_much():
    objects = [(0, 0, A), (1, 1, A)]
    detections = [(0, 0, FAR, 0.9), (0, 0, A, 0.5), (1, 1, A, 0.9), (1, 1, A, 0.8)]
    assert len(words(objects, detections, images=2)) == 3  # the duplicate costs nothing
    detections = [(0, 0, FAR, 0.9), (0, 0, [90, 10, 20, 20], 0.8), (0, 0, A, 0.5), (1, 1, [25, 10, 40, 40], 0.9)]
    text = words(objects, detections, images=2)
    assert text[1].startswith("Most would be won back by placing detections of the right class")
    assert text[2].startswith("Next comes removing detections where there is no object")


def test_confusions_are_named_only_if_they_are_many():
    objects = [(0, k, [12 * k, 10, 10, 10]) for k in range(12)]
    detections = [(0, (k + 1) % 12, [12 * k, 10, 10, 10], 0.9) for k in range(12)]
    assert "They are spread over many pairs of classes." in words(objects, detections, classes=12)[1]
    assert "class 0 taken for class 1 (1)" in words(objects[:9], detections[:9], classes=12)[1]


def test_nothing_to_say():
    assert words([], [])[0].startswith("There are no objects in this split")
    assert words([(0, 0, A)], []) == ["Nothing was detected at all; every object is missed (1)."]
    assert words([(0, 0, A)], [(0, 0, A, 0.9)]) == ["AP at IoU 0.5 is 100.0; 0.0 of 100 points are lost."]


def test_points_are_those_of_the_report():
    report = analyse(*scene(3, images=30), with_masks=False)
    text, tide = first_words(report.kinds[0], report.labels), report.kinds[0].tide
    assert f"is {100 * tide.ap:.1f}; {100 - 100 * tide.ap:.1f} of" in text[0]
    kinds = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
    assert f": {100 * max(tide.gains[kind] for kind in kinds):.1f} points" in text[1]
    assert (
        f"cost {100 * tide.gains['FP']:.1f} points, all objects that are not found {100 * tide.gains['FN']:.1f}."
        in text[-1]
    )
