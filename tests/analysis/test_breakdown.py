"""The curves of COCO's analysis: equal to COCOeval on changed ground truth, and by hand."""

import numpy as np
import pytest

from awsdet.analysis.breakdown import CURVES, areas, breakdown, groups_of, over_all
from tests.analysis.coco_oracle import scored
from tests.analysis.scene import pairs_of, scene, small

A, FAR = [10, 10, 40, 40], [120, 100, 30, 30]


def curves_of(truth, results, groups):
    pairs, matches, classes = pairs_of(truth, results)
    return breakdown(pairs, matches, classes, np.array(groups))


@pytest.mark.parametrize("seed", [4, 5])
def test_equals_pycocotools_on_changed_ground_truth(seed):
    truth, results = scene(seed, images=25, crowds=0.1, clutter=8)
    groups = [0, 1, 0, 1, 0]
    found = curves_of(truth, results, groups)
    for k in range(5):
        cases = ((0.75, None), (0.5, None), (0.1, None), (0.1, groups), (0.1, [0] * 5))
        for row, (threshold, others) in enumerate(cases):
            expected = scored(truth, results, threshold, k, others).eval["precision"][0, :, 0, 0, 0]
            np.testing.assert_allclose(found[row, k], expected, rtol=0, atol=1e-12)
    sizes = areas(found).mean(axis=1)
    assert (np.diff(sizes) > 0).all() and sizes[-1] == 1, "each curve removes errors"


def test_by_hand():
    """One object found; one detection for each kind of error before it."""
    truth, results = small(
        [(0, 0, A), (0, 1, FAR), (0, 2, [60, 10, 40, 40])],
        [
            (0, 0, FAR, 0.9),  # class 1, of the same group
            (0, 0, [60, 10, 40, 40], 0.8),  # class 2
            (0, 0, [5, 110, 30, 30], 0.7),  # background
            (0, 0, [10, 10, 40, 30], 0.6),  # IoU 0.75
        ],
    )
    found = curves_of(truth, results, [0, 0, 1])
    assert areas(found)[:, 0] == pytest.approx([1 / 4, 1 / 4, 1 / 4, 1 / 3, 1 / 2, 1, 1])
    missed = areas(found)[:, 1]
    assert missed == pytest.approx([0, 0, 0, 0, 0, 0, 1])
    assert areas(over_all(found)[:, None])[:, 0] == pytest.approx(areas(found).mean(axis=1))


def test_classes_without_objects_have_no_curves():
    found = curves_of(*small([(0, 0, A)], [(0, 1, A, 0.9)]), [0, 1, 2])
    assert (found[:, 1:] == -1).all() and (areas(found)[:, 2] == -1).all()
    assert (over_all(found)[:6] == 0).all() and (over_all(found)[6] == 1).all()
    nothing = curves_of(*small([], []), [0, 1, 2])
    assert nothing.shape == (len(CURVES), 3, 101) and (over_all(nothing) == -1).all()


def test_supercategories_become_groups():
    assert groups_of(["pet", "", "pet", None, "car"]).tolist() == [0, 1, 0, 2, 3]
