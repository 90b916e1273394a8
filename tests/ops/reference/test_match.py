"""The twin of matching, by hand; tests/detection/test_matching.py tests the same rule with loops."""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.match import match
from tests.ops.candidate_scenes import RULE

# IoU with the first object: 1, 0.5, 0.2, 0; the second object touches none.
CANDIDATES = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 2, 10], [30, 30, 40, 40]])
OBJECTS = tf.constant([[[0.0, 0, 10, 10], [70, 70, 80, 80]]])


def flags(*values):
    return tf.constant([values])


def matched(valid=(True,) * 4, target=(True, True), crowd=(False, False), **changes):
    found = match(CANDIDATES, flags(*valid), OBJECTS, flags(*target), flags(*crowd), **{**RULE, **changes})
    return [np.flatnonzero(part[0]).tolist() for part in found[:2]], found.index[0].numpy().tolist()


def test_thresholds():
    assert matched() == ([[0], [2, 3]], [0, 0, 0, 0])
    assert matched(valid=(False, True, True, True)) == ([[1], [2, 3]], [0, 0, 0, 0])  # the next best is rescued


def test_an_object_that_touches_nothing_claims_all_at_a_least_iou_of_zero():
    assert matched(min_positive_iou=0.0) == ([[0, 1, 2, 3], []], [1, 1, 1, 1])  # of two the last


def test_crowds_leave_out_what_lies_in_them():
    assert matched(target=(False, True), crowd=(True, False)) == ([[], [3]], [0, 0, 0, 1])
    assert matched(target=(False, False), ignore_iof=-1.0) == ([[], [0, 1, 2, 3]], [0, 0, 0, 0])


def test_objects_before_the_candidates():
    found = matched(target=(True, False), with_truth=True)
    assert found == ([[0, 2], [4, 5]], [0, 1, 0, 0, 0, 0])
