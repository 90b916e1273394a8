"""When boxes count as the same, and as being in the same order."""

import numpy as np

from tests.parity.pairs import pair_boxes, ranked_rows

BOXES = np.array([[0, 0, 10, 10], [20, 20, 40, 40], [0, 0, 10, 10.02], [5, 5, 9, 9]], np.float32)
SCORES = np.array([0.9, 0.5, 0.49995, 0.1], np.float32)
CLASSES = np.array([1, 2, 1, 0])


def errors(boxes=BOXES, scores=SCORES, classes=CLASSES, **options):
    return [row.error for row in ranked_rows("", (boxes, scores, classes), (BOXES, SCORES, CLASSES), **options)[0]]


def test_each_box_takes_the_nearest_that_is_left():
    near = BOXES + 0.01
    assert pair_boxes(near[[3, 2, 1, 0]], BOXES) == [(3, 0), (2, 1), (1, 2), (0, 3)]
    assert pair_boxes(BOXES[:0], BOXES) == [] and pair_boxes(BOXES[:1], BOXES[:1] + 0.06) == []


def test_boxes_scores_classes_and_numbers_must_agree():
    assert errors() == [0, 0]
    assert errors(BOXES + 0.04, SCORES + 9e-5) == [0, 0]
    assert errors(BOXES + [[0, 0, 0, 0], [0, 0.06, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]) == [2, 0]
    assert errors(scores=SCORES - np.array([0, 0, 0, 2e-4], np.float32)) == [2, 0]
    assert errors(classes=np.array([1, 2, 0, 0])) == [2, 0]
    assert errors(BOXES[:3], SCORES[:3], CLASSES[:3]) == [1, 0]
    assert errors(BOXES[:0], SCORES[:0], CLASSES[:0]) == [4, 0]


def test_ranks_may_differ_among_ties_only():
    tie, no_tie = [0, 2, 1, 3], [1, 0, 2, 3]
    assert errors(BOXES[tie], SCORES[tie], CLASSES[tie]) == [0, 0]
    assert errors(BOXES[no_tie], SCORES[no_tie], CLASSES[no_tie]) == [0, 2]
    # The order may follow other scores of ours than those compared.
    ranks = np.array([0.9, 0.8, 0.7, 0.6])
    assert errors(BOXES[tie], SCORES[tie], CLASSES[tie], ranked_by=ranks) == [0, 2]
