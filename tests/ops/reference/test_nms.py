"""NMS in plain TensorFlow."""

import numpy as np
import tensorflow as tf

from awsdet.ops.reference.nms import nms


def greedy(boxes, scores, classes, iou_threshold, score_threshold, max_output):
    """The definition, box by box."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] <= score_threshold or len(kept) == max_output:
            continue
        for j in kept:
            if classes[i] != classes[j]:
                continue
            width = min(boxes[i, 2], boxes[j, 2]) - max(boxes[i, 0], boxes[j, 0])
            height = min(boxes[i, 3], boxes[j, 3]) - max(boxes[i, 1], boxes[j, 1])
            overlap = max(width, 0) * max(height, 0)
            union = np.prod(boxes[i, 2:] - boxes[i, :2]) + np.prod(boxes[j, 2:] - boxes[j, :2]) - overlap
            if overlap > iou_threshold * union:
                break
        else:
            kept.append(i)
    return kept


def test_equals_the_definition_for_a_batch():
    random = np.random.default_rng(1)
    corner = random.uniform(-20, 60, (3, 120, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 40, (3, 120, 2))], axis=2).astype(np.float32)
    scores = random.uniform(size=(3, 120)).astype(np.float32)
    scores[1, ::3] = 0.5  # ties keep their order
    scores[2] = 0.0  # nothing to keep
    classes = random.integers(0, 4, (3, 120)).astype(np.int32)
    kept, _, count, *_ = nms(boxes, scores, classes, iou_threshold=0.4, score_threshold=0.1, max_output=30)
    assert kept.shape == (3, 30)
    for image in range(3):
        expected = greedy(boxes[image].astype(np.float64), scores[image], classes[image], 0.4, 0.1, 30)
        assert kept[image, : count[image]].numpy().tolist() == expected
        assert not np.any(kept[image, count[image] :])
    assert count[2] == 0


def test_fewer_boxes_than_output():
    kept, _, count, *_ = nms(
        tf.zeros([1, 0, 4]),
        tf.zeros([1, 0]),
        tf.zeros([1, 0], tf.int32),
        iou_threshold=0.5,
        score_threshold=0.0,
        max_output=5,
    )
    assert kept.numpy().tolist() == [[0] * 5] and count.numpy().tolist() == [0]
