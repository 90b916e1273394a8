"""Matching: thresholds, low-quality matches, crowds, padding."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from awsdet.detection.matching import GroundTruth, Matcher

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1

OBJECTS = tf.constant([[[0.0, 0, 10, 10], [100, 100, 140, 140], [0, 0, 0, 0]]])
CANDIDATES = tf.constant(
    [
        [
            [0.0, 0, 10, 10],  # IoU 1 with object 0
            [0, 0, 10, 15],  # 0.67
            [0, 0, 10, 25],  # 0.4
            [100, 100, 140, 120],  # 0.5 with object 1, its best
            [50, 50, 60, 60],  # nothing
        ]
    ]
)
TARGET = tf.constant([[True, True, False]])
CROWD = tf.constant([[False, False, False]])


def match(candidates, objects, is_target, is_crowd, valid=None, **changes):
    """The Match of candidates by the RPN's matcher with some `changes`."""
    truth = GroundTruth(objects, tf.zeros(tf.shape(is_target), tf.int32), is_target, is_crowd)
    return dataclasses.replace(Matcher(0.7, 0.3, 0.3, True, 0.5), **changes).match(candidates, truth, valid)


def states(matched):
    """POSITIVE, NEGATIVE or IGNORED for each candidate."""
    assert not np.any(matched.positive & matched.negative)
    return np.where(matched.positive, POSITIVE, np.where(matched.negative, NEGATIVE, IGNORED))


def test_thresholds_and_low_quality_matches():
    result = match(CANDIDATES, OBJECTS, TARGET, CROWD)
    assert states(result).tolist() == [[POSITIVE, IGNORED, IGNORED, POSITIVE, NEGATIVE]]
    assert result.index.numpy()[0, [0, 3]].tolist() == [0, 1]
    result = match(CANDIDATES, OBJECTS, TARGET, CROWD, low_quality_matches=False)
    assert states(result).tolist() == [[POSITIVE, IGNORED, IGNORED, IGNORED, NEGATIVE]]
    result = match(CANDIDATES, OBJECTS, TARGET, CROWD, min_positive_iou=0.6)
    assert states(result)[0, 3] == IGNORED


def test_crowd_is_ignored_not_background_and_never_a_target():
    crowd = tf.constant([[False, True, False]])
    result = match(CANDIDATES, OBJECTS, tf.constant([[True, False, False]]), crowd)
    assert states(result).tolist() == [[POSITIVE, IGNORED, IGNORED, IGNORED, NEGATIVE]]
    off = match(CANDIDATES, OBJECTS, tf.constant([[True, False, False]]), crowd, ignore_iof=-1.0)
    assert states(off)[0, 3] == NEGATIVE


def test_no_objects_makes_all_negative():
    nothing = tf.constant([[False, False, False]])
    for min_positive_iou in (0.0, 0.3):
        result = match(CANDIDATES, OBJECTS, nothing, nothing, min_positive_iou=min_positive_iou)
        assert set(states(result).ravel().tolist()) == {NEGATIVE}


def test_excluded_candidates_take_part_in_nothing():
    valid = tf.constant([[False, True, True, True, True]])
    result = match(CANDIDATES, OBJECTS, TARGET, CROWD, valid)
    # Without the perfect candidate, the next best of object 0 is rescued.
    assert states(result).tolist() == [[IGNORED, POSITIVE, IGNORED, POSITIVE, NEGATIVE]]


def test_objects_are_candidates_matched_to_themselves():
    target, crowd = tf.constant([[True, False, False]]), tf.constant([[False, True, False]])
    result = match(CANDIDATES, OBJECTS, target, crowd)
    truth = GroundTruth(OBJECTS, tf.zeros([1, 3], tf.int32), target, crowd)
    together = Matcher(0.7, 0.3, 0.3, True, 0.5).match(CANDIDATES, truth, with_truth=True)
    assert states(together)[0, :3].tolist() == [POSITIVE, IGNORED, IGNORED]
    assert together.index[0, :3].numpy().tolist() == [0, 1, 2]
    for own, all_of_them in zip(result, together):
        np.testing.assert_array_equal(own, all_of_them[:, 3:])


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_reference_rule_written_with_loops(seed):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (70, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 40, (70, 2))], axis=1).astype(np.float32)
    candidates, objects = boxes[:60], boxes[60:]
    objects[1] = objects[0]  # two objects in one place: the last one takes the low-quality match
    result = match(candidates, objects[np.newaxis], np.ones([1, 10], bool), np.zeros([1, 10], bool))
    state, index = match_by_loops(candidates.astype(np.float64), objects.astype(np.float64))
    np.testing.assert_array_equal(states(result)[0], state)
    chosen = state == POSITIVE
    np.testing.assert_array_equal(result.index.numpy()[0, chosen], index[chosen])


def match_by_loops(candidates, objects):
    overlaps = np.zeros((len(candidates), len(objects)))
    for i, a in enumerate(candidates):
        for j, b in enumerate(objects):
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            common = max(width, 0) * max(height, 0)
            overlaps[i, j] = common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)
    state, index = np.full(len(candidates), IGNORED), overlaps.argmax(axis=1)
    state[overlaps.max(axis=1) < 0.3] = NEGATIVE
    state[overlaps.max(axis=1) >= 0.7] = POSITIVE
    for j in range(len(objects)):
        if overlaps[:, j].max() >= 0.3:
            best = np.isclose(overlaps[:, j], overlaps[:, j].max(), rtol=0, atol=1e-12)
            state[best], index[best] = POSITIVE, j
    return state, index
