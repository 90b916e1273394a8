"""Losses against their definitions in NumPy, and gradients against finite differences of these."""

import math

import numpy as np
import pytest
import tensorflow as tf

from awsdet.detection.boxes import BoxCoder
from awsdet.detection.losses import BOX_LOSSES, BoxLoss, FocalLoss, binary_cross_entropy

STDS = (0.1, 0.1, 0.2, 0.2)
CODER = BoxCoder(STDS)


def value_and_gradient(function, inputs):
    inputs = tf.constant(inputs, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = function(inputs)
    return float(value), tape.gradient(value, inputs).numpy()


def slopes(function, inputs, step=1e-5):
    """Central differences of a NumPy function in float64."""
    found = np.zeros(inputs.shape)
    for place in np.ndindex(inputs.shape):
        moved = [inputs.astype(np.float64), inputs.astype(np.float64)]
        moved[0][place] += step
        moved[1][place] -= step
        found[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return found


# ------------------------------------------------------------------------------------------------------------- binary


@pytest.mark.parametrize("above", [True, False])
def test_binary_cross_entropy_and_its_gradient(above):
    logits = np.array([0.0, 0.3, -2.0, 7.0, -7.0, 20.0, -20.0])
    weight = np.array([1.0, 0.5, 2.0, -1.0, 3.0, 1.0, 1.0])
    is_true = (logits > 0.1) == above

    def by_hand(logits):
        return float((weight * np.log1p(np.exp(np.where(is_true, -1.0, 1.0) * logits))).sum())

    def total(logits):
        return tf.reduce_sum(tf.constant(weight, tf.float32) * binary_cross_entropy(tf.constant(is_true), logits))

    value, gradient = value_and_gradient(total, logits)
    assert value == pytest.approx(by_hand(logits), rel=1e-6)
    np.testing.assert_allclose(gradient, slopes(by_hand, logits), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("logit", [1e30, -1e30])
@pytest.mark.parametrize("is_true", [True, False])
def test_binary_cross_entropy_is_finite_for_huge_logits(is_true, logit):
    value, gradient = value_and_gradient(lambda x: tf.reduce_sum(binary_cross_entropy(is_true, x)), [logit])
    wrong = is_true == (logit < 0)
    assert value == pytest.approx(abs(logit) if wrong else 0.0)
    assert gradient[0] == ((-1.0 if is_true else 1.0) if wrong else 0.0)


# -------------------------------------------------------------------------------------------------------------- focal


def focal_by_hand(logits, labels, mask, alpha, gamma):
    total = 0.0
    for place in np.ndindex(logits.shape):
        *anchor, number = place
        p = 1.0 / (1.0 + math.exp(-logits[place]))
        is_class = labels[tuple(anchor)] == number
        right, weight = (p, alpha) if is_class else (1.0 - p, 1.0 - alpha)
        if mask[tuple(anchor)]:
            total -= weight * (1.0 - right) ** gamma * math.log(right)
    return total


@pytest.mark.parametrize("alpha, gamma", [(0.25, 2.0), (0.5, 0.0), (0.9, 0.5), (0.25, 1.0)])
def test_focal_loss_is_its_definition(alpha, gamma):
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (2, 7, 5)).astype(np.float32)
    labels = random.integers(0, 6, (2, 7))  # 5: background
    mask = random.random((2, 7)) < 0.7
    value, gradient = value_and_gradient(lambda x: FocalLoss(alpha, gamma).total(x, labels, mask), logits)

    def by_hand(x):
        return focal_by_hand(x, labels, mask, alpha, gamma)

    assert value == pytest.approx(by_hand(logits), rel=1e-5)
    np.testing.assert_allclose(gradient, slopes(by_hand, logits), atol=2e-5)
    assert not gradient[~mask].any()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_logits_beyond_all_bounds_is_finite(gamma):
    logits = np.array([[[1e4, -1e4, 88.0], [-1e4, 1e4, -88.0], [0.0, -104.0, 104.0]]])
    labels = np.array([[0, 0, 3]])
    value, gradient = value_and_gradient(
        lambda x: FocalLoss(0.25, gamma).total(x, labels, tf.ones([1, 3], tf.bool)), logits
    )
    # A confidently wrong logit costs |logit|; one logit is 0, a probability of 1/2.
    even = 0.75 * 0.5**gamma * math.log(2)
    wrong = 0.75 * (88.0 + 1e4 + 104.0) + 0.25 * 1e4
    assert value == pytest.approx(wrong + even, rel=1e-5)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1, 0] == pytest.approx(-0.25) and gradient[0, 1, 1] == pytest.approx(0.75)
    assert gradient[0, 0, 0] == 0


def test_focal_loss_of_no_anchor_is_zero():
    none = tf.zeros([1, 0], tf.int32)
    value, gradient = value_and_gradient(
        lambda x: FocalLoss().total(x, none, tf.zeros([1, 0], tf.bool)), np.zeros([1, 0, 4])
    )
    assert value == 0 and gradient.shape == (1, 0, 4)


# -------------------------------------------------------------------------------------------------------------- boxes


def decode_by_hand(delta, anchor):
    dx, dy, dw, dh = (d * std for d, std in zip(delta, STDS))
    x1, y1, x2, y2 = anchor
    x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
    width, height = (x2 - x1) * math.exp(dw), (y2 - y1) * math.exp(dh)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def giou_by_hand(a, b):
    overlap = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return overlap / union - (hull - union) / hull


def box_loss_by_hand(predicted, target, mask, anchors, kind, beta=1.0 / 9.0):
    total = 0.0
    for index in np.flatnonzero(mask):
        if kind == "giou":
            pair = (decode_by_hand(deltas[index], anchors[index]) for deltas in (predicted, target))
            total += 1 - giou_by_hand(*pair)
        for difference in abs(predicted[index] - target[index]) if kind != "giou" else ():
            quadratic = kind == "smooth_l1" and difference < beta
            flat = difference - (0.5 * beta if kind == "smooth_l1" else 0.0)
            total += 0.5 * difference**2 / beta if quadratic else flat
    return total


@pytest.mark.parametrize("kind", BOX_LOSSES)
def test_box_loss_is_its_definition(kind):
    random = np.random.default_rng(2)
    corner = random.uniform(0, 50, (12, 2))
    anchors = np.concatenate([corner, corner + random.uniform(4, 40, (12, 2))], axis=1).astype(np.float32)
    predicted, target = random.normal(0, 1.5, (2, 12, 4)).astype(np.float32)
    predicted[:4] = target[:4] + random.normal(0, 0.05, (4, 4))  # some near, some apart
    mask = random.random(12) < 0.7
    value, gradient = value_and_gradient(
        lambda x: BoxLoss(kind, 1 / 9).total(x, target, mask, anchors, CODER), predicted
    )

    def by_hand(x):
        return box_loss_by_hand(x, target, mask, anchors, kind)

    assert value == pytest.approx(by_hand(predicted), rel=1e-5)
    np.testing.assert_allclose(gradient, slopes(by_hand, predicted), atol=1e-4)
    assert not gradient[~mask].any()


@pytest.mark.parametrize("kind", BOX_LOSSES)
def test_box_loss_takes_no_gradient_from_boxes_that_are_none(kind):
    """Unused slots hold zeros or arbitrary values; positives may have no area or extreme deltas."""
    anchors = np.array([[0, 0, 0, 0], [5, 5, 5, 5], [3, 4, 30, 4], [10, 10, 20, 20], [10, 10, 20, 20]], np.float32)
    predicted = np.array([[np.nan] * 4, [1, 2, 3, 4], [0, 0, 0, 0], [1e4, -1e4, 1e4, -1e4], [0, 0, 0, 0]], np.float32)
    target = np.array([[np.inf] * 4, [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    mask = np.array([False, True, True, True, True])
    value, gradient = value_and_gradient(
        lambda x: BoxLoss(kind, 1 / 9).total(x, target, mask, anchors, CODER), predicted
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert not gradient[0].any()
    unused, _ = value_and_gradient(
        lambda x: BoxLoss(kind, 1 / 9).total(x, target[:1], mask[:1], anchors[:1], CODER), predicted[:1]
    )
    assert unused == 0
    empty = tf.zeros([0, 4])
    value, _ = value_and_gradient(
        lambda x: BoxLoss(kind, 1 / 9).total(x, empty, tf.zeros([0], tf.bool), empty, CODER), empty
    )
    assert value == 0


def test_giou_pulls_boxes_that_do_not_meet_together():
    anchors = np.array([[0, 0, 10, 10]], np.float32)
    target = CODER.encode(tf.constant([[40.0, 0, 50, 10]]), anchors)
    value, gradient = value_and_gradient(
        lambda x: BoxLoss("giou", 1 / 9).total(x, target, tf.constant([True]), anchors, CODER), np.zeros([1, 4])
    )
    assert value == pytest.approx(1 + 30 / 50)
    assert gradient[0, 0] < 0  # to the right


def test_unknown_box_loss_is_refused():
    with pytest.raises(ValueError, match="box loss is 'l2'; it must be one of l1, smooth_l1, giou"):
        BoxLoss("l2")


def test_weights_are_factors():
    predicted, mask = tf.constant([[1.0, 2.0, 3.0, 4.0]]), tf.constant([True])
    for loss in (BoxLoss("l1", weight=0.5), BoxLoss("smooth_l1", 1e-6, 0.5)):
        assert float(loss.total(predicted, tf.zeros([1, 4]), mask, tf.zeros([1, 4]), CODER)) == pytest.approx(5.0)
    plain, weighted = FocalLoss(), FocalLoss(weight=3.0)
    labels = tf.constant([2])
    assert float(weighted.total(predicted, labels, mask)) == pytest.approx(
        3 * float(plain.total(predicted, labels, mask))
    )
