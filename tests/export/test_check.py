"""The comparison of an export with its checkpoint finds what is wrong, and allows what rounding explains."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.detection.found import Found
from awsdet.detection.suppression import Suppression
from awsdet.export.check import SCORE, compare

LEAST = 0.05
SCORES = (0.9, 0.8, 0.7)


class Finder:
    """Finds in every image objects apart from each other, with these scores, which fall; four at most."""

    suppression = Suppression(score_threshold=LEAST, max_detections=4)

    def __init__(self, *scores, shift=0.0, iou=0.5, pixels=0):
        corners = np.arange(len(scores), dtype=np.float32)[:, np.newaxis] * 20 + shift
        self._boxes = np.concatenate([corners, corners + 10], axis=1)
        self._scores, self._iou, self._pixels = np.array(scores, np.float32), iou, pixels

    def find(self, image):
        bitmap = np.zeros(image.shape[:2], np.uint8, order="F")
        bitmap[10:20, 10:20] = 1
        bitmap[10, 10 : 10 + self._pixels] = 0
        masks = [coco_mask.encode(bitmap)] * len(self._scores)
        ious = np.full(len(self._scores), self._iou, np.float32)
        return Found(self._boxes, self._scores, np.zeros(len(self._scores), np.int32), masks, ious)


def difference(ours, theirs):
    return compare(ours, theirs, [np.zeros((100, 100, 3), np.uint8)] * 2)


def test_the_same_objects():
    found = difference(Finder(*SCORES), Finder(*SCORES, shift=0.01, pixels=1))
    assert (found.images, found.objects, found.unmatched, found.masks) == (2, 6, 0, 1.0) and found.holds()
    assert found.boxes == pytest.approx(0.01, abs=1e-5)
    nothing = difference(Finder(), Finder())
    assert (nothing.objects, nothing.boxes, nothing.masks) == (0, 0.0, None) and nothing.holds()
    assert not found.weakness() and "no object was found" in nothing.weakness()


@pytest.mark.parametrize("number", range(3))
def test_an_object_that_one_does_not_find(number):
    """Also if it is the only one, or the last."""
    for pair in ((SCORES, SCORES[:number]), (SCORES[:number], SCORES)):
        found = difference(*(Finder(*scores) for scores in pair))
        assert found.unmatched == 2 * (3 - number) and not found.holds()


def test_an_object_at_the_threshold_may_be_found_by_one():
    assert difference(Finder(0.9, LEAST + SCORE / 2), Finder(0.9)).holds()
    assert not difference(Finder(0.9, LEAST + 2 * SCORE), Finder(0.9)).holds()


def test_an_object_at_the_end_of_a_full_list_may_be_found_by_one():
    found = difference(Finder(*SCORES, 0.6), Finder(*SCORES))
    assert found.objects == 6 and found.holds()


@pytest.mark.parametrize(
    "theirs",
    [
        Finder(*SCORES, shift=0.1),
        Finder(0.9, 0.8, 0.7 + 2 * SCORE),
        Finder(*SCORES, iou=0.5 + 2 * SCORE),
        Finder(*SCORES, iou=np.nan),
        Finder(*SCORES, shift=np.nan),
        Finder(*SCORES, pixels=3),
    ],
    ids=["boxes", "scores", "IoU scores", "IoU scores that are no numbers", "boxes that are no numbers", "masks"],
)
def test_other_numbers(theirs):
    assert not difference(Finder(*SCORES), theirs).holds()
