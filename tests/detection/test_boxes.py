"""Boxes: overlaps and the coder."""

import numpy as np
import tensorflow as tf

from awsdet.detection import boxes


def test_overlaps_by_hand():
    a = tf.constant([[0.0, 0, 10, 10], [5, 5, 5, 9]])
    b = tf.constant([[5.0, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]])
    np.testing.assert_allclose(boxes.iou(a, b), [[1 / 3, 0, 1], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(boxes.iof(a[:1], b), [[0.5, 0, 1]], atol=1e-6)
    batched = boxes.iou(tf.stack([a, a + 1]), tf.stack([b, b + 1]))
    np.testing.assert_allclose(batched[0], batched[1], atol=1e-6)


def test_generalized_iou_by_counting_pixels():
    random = np.random.default_rng(4)
    corner = random.integers(0, 12, (2, 40, 2))
    ours, others = np.concatenate([corner, corner + random.integers(1, 9, (2, 40, 2))], axis=2)
    found = boxes.generalized_iou(tf.constant(ours, tf.float32), tf.constant(others, tf.float32)).numpy()
    for box, other, value in zip(ours, others, found):
        pixels = np.zeros((2, 20, 20), bool)
        for plane, (x1, y1, x2, y2) in zip(pixels, (box, other)):
            plane[y1:y2, x1:x2] = True
        rows, columns = pixels.any(axis=(0, 2)).nonzero()[0], pixels.any(axis=(0, 1)).nonzero()[0]
        hull, union = np.ptp(rows) + 1, pixels.any(axis=0).sum()
        hull *= np.ptp(columns) + 1
        np.testing.assert_allclose(value, pixels.all(axis=0).sum() / union - (hull - union) / hull, atol=1e-6)


def test_generalized_iou_of_boxes_without_area():
    ours = tf.constant([[0.0, 0, 0, 0], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 9], [0, 0, 10, 10]])
    others = tf.constant([[0.0, 0, 0, 0], [3, 3, 3, 3], [0, 0, 0, 0], [2, 2, 4, 9], [0, 0, 0, 0]])
    found = boxes.generalized_iou(ours, others)
    np.testing.assert_allclose(found, [0, 0, -1, 0, 0], atol=1e-6)


def test_decode_undoes_encode():
    random = np.random.default_rng(3)
    corner = random.uniform(0, 100, (2, 50, 2))
    anchors = np.concatenate([corner, corner + random.uniform(2, 80, (2, 50, 2))], axis=2).astype(np.float32)
    corner = random.uniform(0, 100, (2, 50, 2))
    targets = np.concatenate([corner, corner + random.uniform(2, 80, (2, 50, 2))], axis=2).astype(np.float32)
    for stds in ((1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)):
        coder = boxes.BoxCoder(stds)
        deltas = coder.encode(tf.constant(targets), tf.constant(anchors))
        np.testing.assert_allclose(coder.decode(deltas, tf.constant(anchors)), targets, atol=2e-3)


def test_decode_by_hand_and_clamp():
    anchor = tf.constant([[10.0, 20, 30, 60]])
    decoded = boxes.BoxCoder().decode(tf.constant([[1.0, -0.5, np.log(2.0), 0.0]]), anchor)
    np.testing.assert_allclose(decoded, [[20, 0, 60, 40]], atol=1e-4)
    huge = boxes.BoxCoder().decode(tf.constant([[0.0, 0, 50, -50]]), anchor).numpy()[0]
    np.testing.assert_allclose([huge[2] - huge[0], huge[3] - huge[1]], [20 * 62.5, 40 / 62.5], rtol=1e-4)


def test_clip_and_padding():
    clipped = boxes.clip(tf.constant([[[-5.0, 3, 70, 90]], [[1, 2, 3, 4]]]), tf.constant([[50, 60], [10, 10]]))
    np.testing.assert_allclose(clipped, [[[0, 3, 60, 50]], [[1, 2, 3, 4]]])
    assert np.isfinite(boxes.BoxCoder().encode(tf.zeros([3, 4]), tf.zeros([3, 4]))).all()
