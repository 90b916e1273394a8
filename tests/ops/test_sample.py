"""The compiled sampling against its twin, on random images and on arguments that do not fit."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.match import Match, match
from awsdet.ops.reference import sample as plain
from awsdet.ops.sample import sample
from tests.ops import candidate_scenes as scenes
from tests.ops import fuzz

ARGUMENTS = {
    "positive": tf.ones([2, 5], tf.bool),
    "negative": tf.zeros([2, 5], tf.bool),
    "index": tf.zeros([2, 5], tf.int32),
    "keys": tf.zeros([2, 5]),
    "candidates": tf.zeros([2, 5, 4]),
    "boxes": tf.zeros([2, 3, 4]),
    "classes": tf.zeros([2, 3], tf.int32),
}


def call(positive, negative, index, **rest):
    return sample(Match(positive, negative, index), **rest, size=4, positive_limit=2)


def keys_of(random, shape):
    kind = random.integers(0, 4)
    keys = random.random(shape).astype(np.float32)
    if kind == 0:  # many equal ones, of both signs
        return np.round(4 * keys - 2) / 4
    if kind == 1:  # they differ in their last bits
        return (np.float32(0.5) + np.round(20 * keys) * np.float32(2**-24)).astype(np.float32)
    return np.zeros_like(keys) if kind == 2 else keys


def test_equals_the_twin():
    drawn = np.zeros(2)

    def compare(random):
        scene, rule, with_truth = scenes.scene(random), scenes.rule(random), bool(random.integers(0, 2))
        if scene[2].shape[1] == 0:
            rule["positive_iou"] = 0.5  # 0 would make every candidate positive, also without an object
        candidates, _, boxes, *_ = (tf.constant(part) for part in scene)
        matched = match(*scene, **rule, with_truth=with_truth)
        classes = tf.constant(random.integers(0, 9, boxes.shape[:2]), tf.int32)
        size = int(random.choice([0, 1, 8, 64, 512, 900]))
        limit = int(size * random.choice([0, 0.25, 0.5, 1]))
        options = {"size": size, "positive_limit": limit, "background": 9, "stds": (0.1, 0.1, 0.2, 0.2)}
        arguments = (matched, keys_of(random, matched.index.shape), candidates, boxes, classes)
        ours = sample(*arguments, **options, with_truth=with_truth)
        assert scenes.equal(ours, plain.sample(*arguments, **options, with_truth=with_truth))
        drawn[:] += np.sum(ours.counts, axis=0)
        return len(boxes)

    fuzz.run(compare)
    assert (drawn > 1000).all()


@pytest.mark.parametrize("kind", ["falling", "rising", "equal", "random"])
def test_many_candidates_equal_the_twin(kind):
    """More than are kept at a time, also if each key is smaller than all before it."""
    count = 30_000
    line = np.arange(count, dtype=np.float32)
    random = np.random.default_rng(4)
    keys = {"falling": -line, "rising": line, "equal": 0 * line, "random": random.random(count).astype(np.float32)}
    positive = np.arange(count) % 10 == 3
    matched = Match([positive] * 2, [~positive] * 2, np.zeros((2, count), np.int32))
    arguments = (matched, np.stack([keys[kind]] * 2), scenes.boxes(random, (count,), 90.0, False))
    arguments = (*arguments, tf.ones([2, 1, 4]), tf.ones([2, 1], tf.int32))
    ours = sample(*arguments, size=512, positive_limit=128)
    assert scenes.equal(ours, plain.sample(*arguments, size=512, positive_limit=128))
    assert ours.counts.numpy().tolist() == [[128, 384]] * 2


def test_deltas_are_those_of_double_precision():
    random = np.random.default_rng(6)
    anchors, boxes = (np.sort(random.uniform(0, 500, (300, 2, 2)), axis=1).reshape(300, 4) for _ in range(2))
    matched = Match(np.ones((1, 300), bool), np.zeros((1, 300), bool), [np.arange(300, dtype=np.int32)])
    boxes, anchors = boxes.astype(np.float32), anchors.astype(np.float32)
    keys, classes = [np.arange(300.0).astype(np.float32)], np.zeros((1, 300), np.int32)
    found = sample(matched, keys, anchors, [boxes], classes, size=300, positive_limit=300, stds=(0.1, 0.1, 0.2, 0.2))
    boxes, anchors = boxes.astype(float), anchors.astype(float)
    size, own = boxes[:, 2:] - boxes[:, :2], anchors[:, 2:] - anchors[:, :2]
    shift = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2 / own
    expected = np.concatenate([shift / 0.1, np.log(size / own) / 0.2], axis=1)
    np.testing.assert_allclose(found.deltas[0], expected, rtol=1e-4, atol=1e-4)
    # A logarithm is off by at most two units in the last place of its own rounded argument.
    ratio = (size.astype(np.float32) / own.astype(np.float32)).astype(float)
    logs = found.deltas[0].numpy()[:, 2:]
    np.testing.assert_allclose(logs, np.log(ratio) / np.float64(np.float32(0.2)), rtol=3e-7, atol=2e-7)


def test_a_positive_of_no_object_is_refused():
    for index in (-1, 3):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"matched has object {index} .* with 3 objects"):
            call(**{**ARGUMENTS, "index": tf.fill([2, 5], index)})


@pytest.mark.parametrize("in_a_graph", [False, True])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("positive", tf.ones([2, 4], tf.bool), "positive must be"),
        ("negative", tf.ones([5], tf.bool), "negative must be"),
        ("index", tf.ones([1, 5], tf.int32), "matched must be"),
        ("keys", tf.ones([2, 6]), "keys must be"),
        ("candidates", tf.zeros([5, 3]), r"candidates must be \[N, 4\] or \[B, N, 4\]"),
        ("candidates", tf.zeros([1, 5, 4]), "candidates must be"),
        ("boxes", tf.zeros([2, 3, 5]), r"boxes must be \[B, G, 4\]"),
        ("classes", tf.zeros([2, 4], tf.int32), r"classes must be \[B, G\]"),
        ("keys", tf.zeros([2, 5], tf.float64), "keys must be float32, not float64"),
        ("index", tf.zeros([2, 5], tf.int64), "matched must be int32, not int64"),
    ],
)
def test_wrong_arguments_are_named(name, value, words, in_a_graph):
    function = tf.function(call, autograph=False) if in_a_graph else call
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError), match=f"sample: {words}"):
        function(**{**ARGUMENTS, name: value})


def test_four_stds_are_needed():
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample: stds must be 4 numbers, got 3"):
        matched = Match(*(ARGUMENTS[name] for name in ("positive", "negative", "index")))
        rest = [ARGUMENTS[name] for name in ("keys", "candidates", "boxes", "classes")]
        sample(matched, *rest, size=4, positive_limit=2, stds=(1, 1, 1))
