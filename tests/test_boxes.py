"""Boxes: overlaps and the coder."""

import numpy as np
import tensorflow as tf

from awsdet import boxes


def test_overlaps_by_hand():
    a = tf.constant([[0.0, 0, 10, 10], [5, 5, 5, 9]])
    b = tf.constant([[5.0, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]])
    np.testing.assert_allclose(boxes.iou(a, b), [[1 / 3, 0, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(boxes.iof(a[:1], b), [[0.5, 0, 1]], atol=1e-6)
    batched = boxes.iou(tf.stack([a, a + 1]), tf.stack([b, b + 1]))
    np.testing.assert_allclose(batched[0], batched[1], atol=1e-6)


def test_decode_undoes_encode():
    random = np.random.default_rng(3)
    corner = random.uniform(0, 100, (2, 50, 2))
    anchors = np.concatenate([corner, corner + random.uniform(2, 80, (2, 50, 2))], axis=2).astype(np.float32)
    corner = random.uniform(0, 100, (2, 50, 2))
    targets = np.concatenate([corner, corner + random.uniform(2, 80, (2, 50, 2))], axis=2).astype(np.float32)
    for stds in ((1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)):
        deltas = boxes.encode(tf.constant(targets), tf.constant(anchors), stds)
        np.testing.assert_allclose(boxes.decode(deltas, tf.constant(anchors), stds), targets, atol=2e-3)


def test_decode_by_hand_and_clamp():
    anchor = tf.constant([[10.0, 20, 30, 60]])
    decoded = boxes.decode(tf.constant([[1.0, -0.5, np.log(2.0), 0.0]]), anchor, (1, 1, 1, 1))
    np.testing.assert_allclose(decoded, [[20, 0, 60, 40]], atol=1e-4)
    huge = boxes.decode(tf.constant([[0.0, 0, 50, -50]]), anchor, (1, 1, 1, 1)).numpy()[0]
    np.testing.assert_allclose([huge[2] - huge[0], huge[3] - huge[1]], [20 * 62.5, 40 / 62.5], rtol=1e-4)


def test_clip_and_padding():
    clipped = boxes.clip(tf.constant([[[-5.0, 3, 70, 90]], [[1, 2, 3, 4]]]), tf.constant([[50, 60], [10, 10]]))
    np.testing.assert_allclose(clipped, [[[0, 3, 60, 50]], [[1, 2, 3, 4]]])
    assert np.isfinite(boxes.encode(tf.zeros([3, 4]), tf.zeros([3, 4]), (1, 1, 1, 1))).all()
