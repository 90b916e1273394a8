"""The confusion matrix: by hand, and equal to hotcoco's."""

import numpy as np
import pytest

from awsdet.analysis.confusion import confusion
from tests.analysis.scene import pairs_of, scene, small

A, FAR = [10, 10, 40, 40], [120, 100, 30, 30]


def found(given, score=0.0):
    pairs, matches, classes = pairs_of(*given)
    return confusion(pairs, matches, classes, score, 0.5)


def test_by_hand():
    given = small(
        [(0, 0, A), (0, 1, FAR), (0, 2, [60, 10, 40, 40])],
        [(0, 0, A, 0.9), (0, 2, FAR, 0.8), (0, 1, FAR, 0.7), (0, 1, [5, 110, 30, 30], 0.3)],
    )
    assert found(given, 0.3).matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 2, 0, 0]]
    assert found(given, 0.75).matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found(given, 0.3).swaps() == [(1, 2, 1)]


def test_crowd_regions_are_neither_missed_nor_do_detections_in_them_count():
    given = small([(0, 0, [0, 0, 200, 100])], [(0, 0, A, 0.9), (0, 1, A, 0.8)], crowds={0})
    assert found(given).matrix.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_nothing():
    assert not found(small([], [])).matrix.any()
    assert found(small([(0, 2, A)], [])).matrix[2, 3] == 1


@pytest.mark.parametrize("score", [0.0, 0.4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_hotcoco(hotcoco, seed, score):
    """On data without crowd regions: hotcoco counts detections in them as false ones."""
    truth, results = scene(seed, images=30)
    theirs = hotcoco(truth, results).confusion_matrix(iou_thr=0.5, min_score=score)["matrix"]
    ours = found((truth, results), score)
    np.testing.assert_array_equal(ours.matrix, theirs.astype(np.int64))
    assert len(ours.swaps()) > 2 and ours.swaps()[0][2] >= ours.swaps()[-1][2]
