"""The charts of the report: bars and areas have the sizes of their numbers."""

import numpy as np
import pytest

from awsdet.analysis import charts
from awsdet.analysis.breakdown import CURVES, breakdown, over_all
from awsdet.analysis.calibration import calibration
from awsdet.analysis.confusion import Confusion, confusion
from awsdet.analysis.figure import Area, Words
from awsdet.analysis.tide import KINDS, SPECIAL, tide
from tests.analysis.scene import pairs_of, scene


@pytest.fixture(scope="module")
def counted():
    return pairs_of(*scene(9, images=30))


def area(shape):
    x, y = np.array(shape.points).T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def areas_of(figure):
    return [shape for shape in figure.shapes if isinstance(shape, Area)]


def words_of(figure):
    return [shape.text for shape in figure.shapes if isinstance(shape, Words)]


def test_bars_are_as_long_as_the_gains(counted):
    pairs, matches, classes = counted
    found = tide(pairs, matches, classes)
    bars = areas_of(charts.tide_bars(found))
    lengths = np.array([np.ptp(np.array(bar.points)[:, 0]) for bar in bars])
    gains = np.array([found.gains[name] for name in (*KINDS, *SPECIAL)])
    np.testing.assert_allclose(lengths / lengths.max(), gains / gains.max(), atol=0.005)
    assert f"{100 * gains.max():.1f}" in words_of(charts.tide_bars(found))


@pytest.mark.parametrize("small", [False, True])
def test_areas_are_what_lies_between_the_curves(counted, small):
    pairs, matches, classes = counted
    curves = over_all(breakdown(pairs, matches, classes, np.arange(classes)))
    shapes = areas_of(charts.area_curves(curves, "all", small))[: len(CURVES)]
    sizes = np.array([area(shape) for shape in shapes])
    expected = np.diff(np.trapz(curves, axis=1), prepend=0) / 100
    np.testing.assert_allclose(sizes / sizes.sum(), expected, atol=0.002)
    assert [shape.title.split()[0] for shape in shapes] == list(CURVES)


def test_bars_of_a_reliability_diagram(counted):
    pairs, matches, _ = counted
    found = calibration(pairs.scores, matches)
    bars = areas_of(charts.reliability(found))
    heights = np.array([np.ptp(np.array(bar.points)[:, 1]) for bar in bars])
    accuracy = found.accuracy[found.counts > 0]
    assert len(bars) == len(accuracy)
    np.testing.assert_allclose(heights / heights.max(), accuracy / accuracy.max(), atol=0.02)


def test_cells_of_a_matrix(counted):
    pairs, matches, classes = counted
    found = confusion(pairs, matches, classes, 0.3, 0.5)
    figure, left_out = charts.confusion_map(found, [f"class {k}" for k in range(classes)])
    assert left_out == 0 and len(areas_of(figure)) == np.count_nonzero(found.matrix)
    numbers = [int(text) for text in words_of(figure) if text.isdigit()]
    assert sorted(numbers) == sorted(found.matrix[found.matrix > 0].tolist())


def test_of_many_classes_those_that_are_confused_are_shown():
    matrix = np.zeros((101, 101), np.int64)
    np.fill_diagonal(matrix, 5)
    matrix[70, 90] = 3
    figure, left_out = charts.confusion_map(Confusion(matrix, 0.5, 0.5), [f"class {k}" for k in range(100)])
    assert left_out == 100 - charts.MOST_CLASSES
    assert {"class 70", "class 90", "background", "3"} <= set(words_of(figure)) and "class 99" not in words_of(figure)
    big, _ = charts.confusion_map(Confusion(np.diag([12_345, 0]), 0.5, 0.5), ["a"])
    assert "12k" in words_of(big)
