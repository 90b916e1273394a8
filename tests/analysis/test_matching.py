"""Matches equal those of pycocotools, at any IoU, also with objects of other classes that are ignored."""

import numpy as np
import pytest

from awsdet.analysis.matching import match, match_any_class
from tests.analysis.coco_oracle import matches_of_class
from tests.analysis.scene import pairs_of, scene, small

A = [10, 10, 40, 40]


def ours(truth, results, threshold, groups=None):
    pairs = pairs_of(truth, results)[0]
    found = match(pairs, threshold, groups)
    return {
        int(pairs.found_rows[d]): (
            truth["annotations"][int(pairs.truth_rows[found.object[d]])]["id"],
            bool(found.ignored[d]),
        )
        for d in np.flatnonzero(found.object >= 0)
    }


@pytest.mark.parametrize("groups", [None, [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_pycocotools(seed, threshold, groups):
    truth, results = scene(seed, images=20, crowds=0.2, clutter=8)
    expected = {}
    for k in range(5):
        expected |= matches_of_class(truth, results, threshold, k, groups)
    found = ours(truth, results, threshold, groups)
    assert found == expected and len(found) > 10
    assert groups is None or sum(ignored for _, ignored in found.values()) > 5 or threshold > 0.5


def test_of_equal_overlaps_the_later_object_is_taken_as_in_coco():
    truth, results = small([(0, 0, A), (0, 0, A)], [(0, 0, A, 0.9), (0, 0, A, 0.8), (0, 0, A, 0.7)])
    assert ours(truth, results, 0.5) == {0: (2, False), 1: (1, False)}


def test_an_object_of_another_class_serves_once_for_each_class():
    truth, results = small([(0, 0, A)], [(0, 1, A, 0.9), (0, 1, A, 0.8), (0, 2, A, 0.7), (0, 0, A, 0.6)])
    assert ours(truth, results, 0.5, [0, 0, 0]) == {0: (1, True), 2: (1, True), 3: (1, False)}
    assert ours(truth, results, 0.5, [0, 1, 0]) == {2: (1, True), 3: (1, False)}


def test_no_more_than_100_detections_of_a_class_take_part():
    results = [(0, 0, [0, 0, 8, 8], 0.9 - i / 1000) for i in range(130)] + [(0, 0, A, 0.1), (0, 1, A, 0.05)]
    truth, results = small([(0, 0, A)], results)
    pairs = pairs_of(truth, results)[0]
    assert len(pairs.scores) == 101 and ours(truth, results, 0.5) == {}


def test_across_classes():
    truth, results = small([(0, 0, A), (0, 1, [12, 10, 40, 40])], [(0, 2, A, 0.9), (0, 0, A, 0.8), (0, 0, A, 0.7)])
    pairs = pairs_of(truth, results)[0]
    assert match_any_class(pairs, 0.5, np.ones(3, bool)).tolist() == [0, 1, -1]
    assert match_any_class(pairs, 0.5, np.array([False, True, True])).tolist() == [-1, 0, 1]


def test_smaller_overlaps_than_those_that_are_kept_are_refused():
    pairs = pairs_of(*small([(0, 0, A)], [(0, 0, A, 0.9)]))[0]
    for ask in (lambda: match(pairs, 0.05), lambda: match_any_class(pairs, 0.05, np.ones(1, bool))):
        with pytest.raises(ValueError, match="pairs below 0.1 are not there"):
            ask()


def test_boxes_that_are_not_finite_match_nothing():
    truth, results = small([(0, 0, A)], [(0, 0, [float("nan")] * 4, 0.9), (0, 0, A, 0.8)])
    assert ours(truth, results, 0.5) == {1: (1, False)}
