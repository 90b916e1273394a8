"""Parts of a set: their numbers, and AP equal to that of COCO on these images alone."""

import pytest

from awsdet.analysis.slices import by_crowding, by_size
from awsdet.evaluation.coco_metric import coco_metrics
from tests.analysis.scene import pairs_of, scene, small


def test_ap_of_crowding_is_that_of_coco_on_these_images():
    truth, results = scene(2, images=30, crowds=0.1)
    pairs, matches, classes = pairs_of(truth, results)
    rows = by_crowding(pairs, matches, 30, classes, 0.5)
    assert sum(row.images for row in rows) == 30 and sum(row.objects for row in rows) == (~pairs.crowd).sum()
    limits = {"0": (0, 0), "1": (1, 1), "2 to 3": (2, 3), "4 to 7": (4, 7)}
    assert [row.name for row in rows] == list(limits)
    for row in rows:
        low, high = limits[row.name]
        counts = {
            image["id"]: sum(a["image_id"] == image["id"] and not a["iscrowd"] for a in truth["annotations"])
            for image in truth["images"]
        }
        chosen = {number for number, count in counts.items() if low <= count <= high}
        part = {
            "images": [image for image in truth["images"] if image["id"] in chosen],
            "categories": truth["categories"],
            "annotations": [a for a in truth["annotations"] if a["image_id"] in chosen],
        }
        theirs = coco_metrics(part, [r for r in results if r["image_id"] in chosen], False)
        assert row.ap50 == pytest.approx(theirs["box_ap50"], abs=1e-12) and row.images == len(chosen)


def test_sizes_and_false_positives_by_hand():
    truth, results = small(
        [(0, 0, [0, 0, 10, 10]), (0, 0, [50, 50, 40, 40]), (0, 1, [100, 10, 40, 40])],
        [(0, 0, [0, 0, 10, 10], 0.3), (0, 0, [50, 50, 40, 40], 0.9), (1, 0, [5, 5, 20, 20], 0.8)],
        images=2,
    )
    pairs, matches, classes = pairs_of(truth, results)
    assert by_size(pairs, matches, 0.5) == [("8 to 16 px", 1, 1.0, 0.0), ("32 to 64 px", 2, 0.5, 0.5)]
    none, some = by_crowding(pairs, matches, 2, classes, 0.5)
    assert none == ("0", 1, 0, -1.0, 1.0) and some[:3] == ("2 to 3", 1, 3) and some.false_per_image == 0


def test_nothing():
    pairs, matches, classes = pairs_of(*small([], []))
    assert by_size(pairs, matches, 0.5) == []
    assert by_crowding(pairs, matches, 1, classes, 0.5) == [("0", 1, 0, -1.0, 0.0)]
