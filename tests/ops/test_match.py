"""The compiled matching against its twin, on random images and on arguments that do not fit.

The rule itself is tested in tests/detection/test_matching.py, with the operator.
"""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.match import match
from awsdet.ops.reference import match as plain
from tests.ops import candidate_scenes as scenes
from tests.ops import fuzz

ARGUMENTS = {
    "candidates": tf.zeros([2, 5, 4]),
    "valid": tf.ones([2, 5], tf.bool),
    "boxes": tf.zeros([2, 3, 4]),
    "is_target": tf.ones([2, 3], tf.bool),
    "is_crowd": tf.zeros([2, 3], tf.bool),
}


def test_equals_the_twin():
    seen = np.zeros(3)

    def compare(random):
        arguments, rule = scenes.scene(random), scenes.rule(random)
        with_truth = bool(random.integers(0, 2))
        ours = match(*arguments, **rule, with_truth=with_truth)
        assert scenes.equal(ours, plain.match(*arguments, **rule, with_truth=with_truth))
        seen[:] += [np.sum(ours.positive), np.sum(ours.negative), np.sum(~(ours.positive | ours.negative))]
        return len(arguments[1])

    fuzz.run(compare)
    assert (seen > 1000).all()  # positives, negatives, ignored


def test_many_anchors_in_lines_equal_the_twin():
    """Blocks of candidates that most objects do not touch, and many low-quality matches of equal IoU."""
    random = np.random.default_rng(5)
    candidates = scenes.lattice(random, 20_000)
    truth = scenes.boxes(random, (2, 90), 300.0, coarse=True)
    truth[1] = candidates[random.integers(0, len(candidates), 90)]
    is_crowd = random.random((2, 90)) < 0.1
    arguments = (candidates, np.ones((2, 20_000), bool), truth, ~is_crowd, is_crowd)
    for lowest in (0.0, 0.3):
        rule = {**scenes.RULE, "min_positive_iou": lowest}
        ours = match(*arguments, **rule)
        assert scenes.equal(ours, plain.match(*arguments, **rule)) and np.sum(ours.positive) > 100


def test_an_image_does_not_depend_on_its_batch():
    arguments = scenes.scene(np.random.default_rng(2), images=4, count=500, objects=20)
    candidates, *rest = (np.broadcast_to(arguments[0], (4, 500, 4)), *arguments[1:])
    together = match(candidates, *rest, **scenes.RULE)
    for image in range(4):
        one = slice(image, image + 1)
        alone = match(candidates[one], *(part[one] for part in rest), **scenes.RULE)
        for ours, theirs in zip(alone, together):
            assert np.array_equal(ours[0], theirs[image])


def test_without_objects_or_candidates():
    for images, count, objects in ((2, 4, 0), (2, 0, 3), (0, 4, 3), (2, 0, 0)):
        arguments = scenes.scene(np.random.default_rng(1), images=images, count=count, objects=objects)
        for with_truth in (False, True):
            found = match(*arguments, **scenes.RULE, with_truth=with_truth)
            assert found.index.shape == (images, count + with_truth * objects)
            if objects == 0:
                assert not np.any(found.positive) and np.array_equal(found.negative, arguments[1])


def test_shapes_are_known_in_a_graph():
    @tf.function(autograph=False)
    def shapes(candidates, valid, boxes, flags):
        found = match(candidates, valid, boxes, flags, flags, **scenes.RULE, with_truth=True)
        assert found.positive.shape == found.index.shape == (2, 8)
        return found.index

    shapes(*list(ARGUMENTS.values())[:4])


@pytest.mark.parametrize("in_a_graph", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("candidates", tf.zeros([5, 3]), r"candidates must be \[N, 4\] or \[B, N, 4\]"),
        ("candidates", tf.zeros([3, 5, 4]), r"candidates must be .* with the B of boxes \[2,3,4\]"),
        ("candidates", tf.zeros([4]), "candidates must be"),
        ("valid", tf.ones([2, 4], tf.bool), r"valid must be \[B, N\]"),
        ("boxes", tf.zeros([3, 4]), r"boxes must be \[B, G, 4\]"),
        ("is_target", tf.ones([2, 2], tf.bool), r"is_target must be \[B, G\]"),
        ("is_crowd", tf.ones([3], tf.bool), r"is_crowd must be \[B, G\]"),
        ("candidates", tf.zeros([5, 4], tf.float64), "candidates must be float32, not float64"),
        ("is_crowd", tf.zeros([2, 3], tf.int32), "is_crowd must be bool, not int32"),
    ],
)
def test_wrong_arguments_are_named(name, value, words, in_a_graph):
    call = tf.function(match, autograph=False) if in_a_graph else match
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=f"match: {words}"):
        call(**{**ARGUMENTS, name: value}, **scenes.RULE)


def test_an_attribute_that_is_not_a_number_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="match: an attribute is not a number"):
        match(**ARGUMENTS, **{**scenes.RULE, "negative_iou": float("nan")})
