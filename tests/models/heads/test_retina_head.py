"""RetinaNet's targets, losses and detections as pure functions, against slow definitions."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from awsdet.detection.boxes import BoxCoder
from awsdet.detection.losses import BoxLoss, FocalLoss
from awsdet.detection.matching import Matcher, ground_truth
from awsdet.detection.suppression import Suppression
from awsdet.models.heads.retina_head import RetinaHead, RetinaOutput, retina_detections, retina_targets, retina_terms
from awsdet.models.layers.initializers import Initializers

CODER = BoxCoder()
RANDOM = np.random.default_rng(8)


def targets_of(valid, data, **changes):
    """RetinaTargets of ANCHORS and three classes by RetinaNet's matcher with some `changes`."""
    matcher = Matcher(0.5, 0.4, 0.0, True, 0.5)
    return retina_targets(ANCHORS, valid, ground_truth(data), 3, dataclasses.replace(matcher, **changes), CODER)


def random_boxes(count, size=60):
    corner = RANDOM.uniform(0, size, (count, 2))
    return np.concatenate([corner, corner + RANDOM.uniform(6, 40, (count, 2))], axis=1).astype(np.float32)


def batch(boxes, classes, crowd=None):
    classes = np.array(classes, np.int32)
    crowd = np.zeros(classes.shape, bool) if crowd is None else np.array(crowd)
    return {"boxes": tf.constant(boxes, tf.float32), "classes": tf.constant(classes), "is_crowd": tf.constant(crowd)}


# ------------------------------------------------------------------------------------------------------------ network


def test_untrained_head_gives_every_class_a_hundredth():
    head = RetinaHead(8, 2, 8, 9, 5, initializers=Initializers(1), dtype="float32")
    output = head([tf.random.stateless_normal([2, h, w, 8], [1, 2]) for h, w in ((6, 8), (3, 4), (1, 1))])
    assert [tuple(level.shape) for level in output.logits] == [(2, 432, 5), (2, 108, 5), (2, 9, 5)]
    assert [tuple(level.shape) for level in output.deltas] == [(2, 432, 4), (2, 108, 4), (2, 9, 4)]
    np.testing.assert_allclose(tf.sigmoid(tf.concat(output.logits, axis=1)), 0.01, rtol=0.05)


# ------------------------------------------------------------------------------------------------------------ targets

ANCHORS = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 20], [4, 0, 14, 10], [50, 50, 60, 60], [52, 50, 62, 60]])


def test_every_anchor_is_positive_negative_or_left_out():
    data = batch([[[0, 0, 10, 10], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 2], [[2, -1], [-1, -1]])
    valid = tf.constant([[True] * 5, [True] * 4 + [False]])
    targets = targets_of(valid, data)
    # IoU with the object: 1, 0.5, 6 / 14 (between the two thresholds), 0, 0.
    np.testing.assert_array_equal(targets.positive, [[1, 1, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(targets.valid, [[1, 1, 0, 1, 1], [1, 1, 1, 1, 0]])
    np.testing.assert_array_equal(targets.labels, [[2, 2, 3, 3, 3], [3] * 5])
    np.testing.assert_allclose(targets.deltas[0, 1], [0, -0.25, 0, np.log(0.5)], atol=1e-6)
    assert float(targets.normalizer) == 3  # two, and one for the image without positives


def test_each_object_has_its_best_anchor_and_crowds_have_none():
    data = batch([[[50, 50, 90, 60], [0, 0, 14, 20]]], [[1, 0]], [[False, True]])
    targets = targets_of(tf.ones([1, 5], tf.bool), data)
    # The anchors in the crowd are left out; the object reaches only IoU 0.25, but that is its best.
    np.testing.assert_array_equal(targets.positive, [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(targets.valid, [[0, 0, 0, 1, 1]])
    data = batch([[[50, 50, 90, 60]]], [[1]])
    no_rescue = targets_of(tf.ones([1, 5], tf.bool), data, low_quality_matches=False)
    assert not no_rescue.positive.numpy().any() and float(no_rescue.normalizer) == 1


@pytest.mark.parametrize("box_loss", ["l1", "smooth_l1", "giou"])
def test_losses_without_objects_are_finite_and_reach_both_outputs(box_loss):
    data = batch(np.zeros((2, 1, 4)), [[-1], [-1]])
    targets = targets_of(tf.ones([2, 5], tf.bool), data)
    outputs = tf.zeros([2, 5, 3]), tf.zeros([2, 5, 4])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        output, losses = RetinaOutput([outputs[0]], [outputs[1]]), (FocalLoss(), BoxLoss(box_loss, 1 / 9))
        terms = retina_terms(output, targets, targets.normalizer, *losses, CODER)
        total = tf.add_n([mean.total for mean in terms.losses.values()])
    assert float(terms.losses["box_loss"].total) == 0
    assert float(terms.losses["class_loss"].total) == pytest.approx(2 * 5 * 3 * 0.75 * 0.25 * np.log(2), rel=1e-5)
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, outputs)]
    assert np.isfinite(gradients[0]).all() and gradients[0].all() and not gradients[1].any()


# --------------------------------------------------------------------------------------------------------- detections


def slow_detections(logits, deltas, anchors, size, suppression, pre_nms, min_size):
    """The steps of mmdetection for one image, candidate by candidate. Returns (score, class, box) by rank."""
    found = []
    for level, level_deltas, level_anchors in zip(logits, deltas, anchors):
        scores = 1 / (1 + np.exp(-level.astype(np.float64)))
        pairs = [
            (scores[place], *place) for place in np.ndindex(scores.shape) if scores[place] > suppression.score_threshold
        ]
        for score, anchor, label in sorted(pairs, key=lambda pair: -pair[0])[:pre_nms]:
            dx, dy, dw, dh = level_deltas[anchor]
            x1, y1, x2, y2 = level_anchors[anchor]
            x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
            half = (x2 - x1) * np.exp(dw) / 2, (y2 - y1) * np.exp(dh) / 2
            box = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
            box = np.clip(box, 0, [size[1], size[0], size[1], size[0]])
            if box[2] - box[0] > min_size and box[3] - box[1] > min_size:
                found.append((score, label, box))
    kept = []
    for score, label, box in sorted(found, key=lambda entry: -entry[0]):
        if all(label != other or overlap(box, theirs) <= suppression.iou for _, other, theirs in kept):
            kept.append((score, label, box))
    return kept[: suppression.max_detections]


def overlap(a, b):
    inside = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return inside / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside)


@pytest.mark.parametrize(
    "suppression, pre_nms, min_size",
    [
        (Suppression(), 1000, 0.0),
        (Suppression(max_detections=40), 25, 0.0),
        (Suppression(score_threshold=0.6), 1000, 12.0),
        (Suppression(score_threshold=1.0), 1000, 0.0),
    ],
)
def test_detections_are_those_of_the_slow_definition(suppression, pre_nms, min_size):
    images, classes, rules = 3, 4, (suppression, pre_nms, min_size)
    counts, size = (60, 17, 3), [[70, 90], [100, 64], [40, 40]]
    anchors = [random_boxes(count) for count in counts]
    logits = [RANDOM.normal(-1, 2, (images, count, classes)).astype(np.float32) for count in counts]
    deltas = [RANDOM.normal(0, 0.3, (images, count, 4)).astype(np.float32) for count in counts]
    found = retina_detections(RetinaOutput(logits, deltas), np.concatenate(anchors), tf.constant(size), CODER, *rules)
    for image in range(images):
        own = [level[image] for level in logits], [level[image] for level in deltas]
        expected = slow_detections(*own, anchors, size[image], *rules)
        count = int(found.count[image])
        assert count == len(expected) and (count > 0) == (suppression.score_threshold < 1)
        np.testing.assert_array_equal(found.classes[image, :count], [label for _, label, _ in expected])
        np.testing.assert_allclose(found.scores[image, :count], [score for score, _, _ in expected], atol=1e-6)
        if count:
            np.testing.assert_allclose(found.boxes[image, :count], [box for _, _, box in expected], atol=1e-3)
        assert np.all(found.classes[image, count:] == -1) and not found.boxes[image, count:].numpy().any()


def test_soft_nms_keeps_what_hard_nms_drops_at_a_lower_score():
    anchors = np.array([[0, 0, 20, 20], [2, 0, 22, 20], [60, 60, 80, 80]], np.float32)
    logits = RetinaOutput([np.array([[[2.0], [1.0], [0.5]]], np.float32)], [np.zeros((1, 3, 4), np.float32)])
    size = tf.constant([[100, 100]])
    scores = 1 / (1 + np.exp(-np.array([2.0, 1.0, 0.5])))
    shared = 18 / 22
    expected = {
        "hard": [scores[0], scores[2]],
        "linear": [scores[0], scores[2], scores[1] * (1 - shared)],
        "gaussian": [scores[0], scores[2], scores[1] * np.exp(-(shared**2) / 0.5)],
    }
    for method, wanted in expected.items():
        found = retina_detections(logits, anchors, size, CODER, Suppression(method=method))
        np.testing.assert_allclose(found.scores[0, : int(found.count[0])], wanted, rtol=1e-5)
    # The score threshold holds before the scores are lowered, min_score afterwards.
    found = retina_detections(logits, anchors, size, CODER, Suppression(method="linear", min_score=0.2))
    assert int(found.count[0]) == 2
    found = retina_detections(logits, anchors, size, CODER, Suppression(0.7, method="linear"))
    np.testing.assert_allclose(found.scores[0, : int(found.count[0])], [scores[0], scores[1] * (1 - shared)], rtol=1e-5)
