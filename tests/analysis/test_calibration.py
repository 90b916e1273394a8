"""Calibration: by hand, and equal to hotcoco's; the score with the best F1 against all that there are."""

import numpy as np
import pytest

from awsdet.analysis.calibration import best_score, calibration
from awsdet.analysis.matching import Matches
from tests.analysis.scene import pairs_of, scene


def matches(hit, ignored=None):
    hit = np.array(hit, bool)
    return Matches(np.where(hit, 0, -1), hit, np.zeros(len(hit), bool) if ignored is None else np.array(ignored, bool))


def test_by_hand():
    found = calibration(np.array([0.95, 0.91, 0.25, 1.0, 0.5]), matches([1, 0, 0, 1, 1], [0, 0, 0, 0, 1]))
    assert found.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 3]
    assert found.confidence[9] == pytest.approx((0.95 + 0.91 + 1) / 3) and found.accuracy[9] == pytest.approx(2 / 3)
    distance = abs((0.95 + 0.91 + 1) / 3 - 2 / 3)
    assert found.ece == pytest.approx((3 * distance + 0.25) / 4) and found.mce == pytest.approx(max(distance, 0.25))


def test_none_and_scores_that_are_no_probabilities():
    nothing = calibration(np.zeros(0), matches([]))
    assert nothing.ece == 0 and not nothing.counts.any()
    assert calibration(np.array([0.5, 1.2]), matches([1, 1])) is None
    assert calibration(np.array([-0.1]), matches([1])) is None


@pytest.mark.parametrize("seed", [1, 2])
def test_equals_hotcoco(hotcoco, seed):
    truth, results = scene(seed, images=30, crowds=0.2)
    theirs = hotcoco(truth, results).calibration(n_bins=10, iou_threshold=0.5)
    pairs, matched, _ = pairs_of(truth, results)
    ours = calibration(pairs.scores, matched)
    assert (ours.ece, ours.mce) == pytest.approx((theirs["ece"], theirs["mce"]))
    assert ours.counts.tolist() == [one["count"] for one in theirs["bins"]]
    assert ours.accuracy.tolist() == pytest.approx([one["avg_accuracy"] for one in theirs["bins"]])


def test_the_best_score_is_the_best_of_all():
    truth, results = scene(7, images=30, crowds=0.2)
    pairs, matched, _ = pairs_of(truth, results)
    objects = int((~pairs.crowd).sum())

    def f1(least):
        kept = (pairs.scores >= least) & matched.counted
        return 2 * (matched.hit & kept).sum() / (kept.sum() + objects)

    best = best_score(pairs.scores, matched, objects)
    assert best.f1 == pytest.approx(max(map(f1, pairs.scores))) == pytest.approx(f1(best.score))
    assert best.f1 == pytest.approx(2 * best.precision * best.recall / (best.precision + best.recall))


def test_equal_scores_are_kept_together():
    """Two of score 0.5, of which the first is right: neither can be had alone."""
    best = best_score(np.array([0.9, 0.5, 0.5]), matches([1, 1, 0]), 2)
    assert best.score == 0.5 and best.precision == pytest.approx(2 / 3) and best.recall == 1
    assert best_score(np.array([0.9]), matches([0]), 2) is None and best_score(np.zeros(0), matches([]), 2) is None
