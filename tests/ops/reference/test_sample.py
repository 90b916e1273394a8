"""The twin of sampling, by hand."""

import numpy as np
import tensorflow as tf

from awsdet.ops.match import Match
from awsdet.ops.reference.sample import sample

CANDIDATES = tf.constant([[0.0, 0, 4, 4], [0, 0, 8, 4], [2, 2, 6, 6], [5, 5, 9, 9]])
OBJECTS = tf.constant([[[0.0, 0, 4, 4], [2, 2, 10, 6]]])
CLASSES = tf.constant([[7, 3]])
MATCHED = Match(
    tf.constant([[True, False, True, True]]), tf.constant([[False, True, False, False]]), tf.constant([[0, 0, 1, 1]])
)


def test_positives_then_negatives_then_zeros():
    keys = tf.constant([[0.5, 0.1, 0.5, 0.2]])
    found = sample(MATCHED, keys, CANDIDATES, OBJECTS, CLASSES, size=4, positive_limit=2, background=9)
    assert found.index.numpy().tolist() == [[3, 0, 1, 0]]  # of equal keys the first
    assert found.positive.numpy().tolist() == [[True, True, False, False]]
    assert found.valid.numpy().tolist() == [[True, True, True, False]]
    assert found.truth.numpy().tolist() == [[1, 0, 0, 0]] and found.labels.numpy().tolist() == [[3, 7, 9, 9]]
    assert found.counts.numpy().tolist() == [[2, 1]] and not found.is_object.numpy().any()
    np.testing.assert_array_equal(found.boxes[0, 2:], [[0, 0, 8, 4], [0, 0, 0, 0]])
    # From the centre (7, 7) of 4 x 4 to the centre (6, 4) of 8 x 4.
    np.testing.assert_allclose(found.deltas[0, 0], [-0.25, -0.75, np.log(2), 0], atol=1e-6)
    assert not found.deltas[0, 1:].numpy().any()


def test_objects_are_the_first_candidates():
    matched = Match(*(tf.concat([part[:, :2], part], axis=1) for part in MATCHED))
    options = {"size": 2, "positive_limit": 1, "stds": (0.1, 0.1, 0.2, 0.2), "with_truth": True}
    found = sample(matched, tf.zeros([1, 6]), CANDIDATES, OBJECTS, CLASSES, **options)
    assert found.index.numpy().tolist() == [[0, 1]] and found.is_object.numpy().all()
    np.testing.assert_array_equal(found.boxes, OBJECTS)
