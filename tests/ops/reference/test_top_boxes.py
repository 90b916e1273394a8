"""The plain twin of top_boxes on a case that can be computed by hand."""

import numpy as np

from awsdet.ops.reference.top_boxes import top_boxes


def test_a_case_by_hand():
    logits = [np.float32([[[1.0], [np.nan], [3.0]]]), np.float32([[[-np.inf], [2.0]]])]
    deltas = [np.zeros((1, 3, 4), np.float32), np.float32([[[0, 0, 0, 0], [0.5, -0.25, np.log(2), 9.0]]])]
    anchors = np.float32([[0, 0, 4, 4], [9, 9, 12, 12], [7, 2, 19, 4], [1, 1, 3, 3], [4, 4, 8, 8]])
    found = top_boxes(logits, deltas, anchors, [[10, 12]], limit=3, stds=(1.0,) * 4, max_log_ratio=1.0, min_size=1.0)
    half = 2 * np.e
    boxes = [[7, 2, 12, 4], [0, 0, 4, 4], [9, 9, 12, 10], [4, 0, 12, min(5 + half, 10)], [1, 1, 3, 3]]
    np.testing.assert_allclose(found.boxes[0], boxes, rtol=1e-6)
    assert found.logits[0].numpy().tolist() == [3, 1, -np.inf, 2, np.finfo(np.float32).min]
    assert found.levels[0].numpy().tolist() == [0, 0, 0, 1, 1] and not found.classes.numpy().any()


def test_pairs_of_anchor_and_class_and_the_rule_of_ties():
    logits = [np.float32([[[1, 5], [5, 0], [5, 5]]])]
    options = {"stds": (1.0,) * 4, "max_log_ratio": 1.0}
    anchors = np.float32([[0, 0, 4, 4], [1, 0, 5, 4], [2, 0, 6, 4]])
    found = top_boxes(logits, [np.zeros((1, 3, 4), np.float32)], anchors, [[99, 99]], limit=3, **options)
    assert found.boxes[0, :, 0].numpy().tolist() == [0, 1, 2]
    assert found.classes[0].numpy().tolist() == [1, 0, 0]
