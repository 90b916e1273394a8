"""Charts: bars and dots where they belong, in valid SVG."""

import re
import xml.etree.ElementTree

import numpy as np
import pytest

from awsdet.survey import charts


def shapes(svg, tag):
    return [element.attrib for element in xml.etree.ElementTree.fromstring(svg).iter(tag)]


def test_heights_of_bars_are_in_proportion():
    svg = charts.bars([0, 1, 2, 4], list("abcd"), [(0.5, "<a>")], "px & more", "objects", marks=[2], regions=[(1, "x")])
    bars = shapes(svg, "rect")
    heights = [float(bar["height"]) for bar in bars]
    assert len(bars) == 3  # none for 0
    np.testing.assert_allclose(np.array(heights) / heights[2], [0.25, 0.5, 1], atol=1e-3)
    assert len({float(bar["y"]) + float(bar["height"]) for bar in bars}) == 1
    lefts = [float(bar["x"]) for bar in bars]
    (mark,) = [line for line in shapes(svg, "line") if line["class"] == "mark"]
    assert lefts[0] < float(mark["x1"]) <= lefts[1] < lefts[2]


def test_one_of_a_million_is_still_seen():
    svg = charts.bars([1_000_000, 1], ["a", "b"], [], "px", "objects")
    assert min(float(bar["height"]) for bar in shapes(svg, "rect")) >= 1


@pytest.mark.parametrize("high", [1, 2, 3, 5, 10, 47, 99, 100, 12345, 860001])
def test_axis_steps_are_round_and_few(high):
    steps = charts.nice_steps(high)
    assert steps[0] == 0 and steps[-1] <= high and 2 <= len(steps) <= 6
    assert re.fullmatch(r"[125]0*", str(steps[1]))
    assert np.ptp(np.diff(steps)) == 0


def test_log_bins_hold_every_value_once():
    values = [0, 0.5, 1, 1.4, 1.5, 2, 63.9, 64, 1e9]
    counts, names, position = charts.log_bins(np.array(values), 1, 64, 2)
    assert len(counts) == len(names) == 12 and counts.sum() == len(values)
    assert counts[0] == 4 and counts[1] == 1 and counts[2] == 1 and counts[11] == 3
    assert position(1) == 0 and position(64) == 12 and position(8) == 6
    assert names[-1] == "45.3 to 64"


def test_equal_dots_are_one_that_is_larger():
    svg = charts.scatter(np.array([640, 640, 480]), np.array([480, 480, 640]), "x", "y", "images")
    dots = sorted(shapes(svg, "circle"), key=lambda dot: float(dot["r"]))
    assert len(dots) == 2 and float(dots[0]["cx"]) < float(dots[1]["cx"])
    assert float(dots[0]["cy"]) < float(dots[1]["cy"])  # the higher image is further up
    assert "640 x 480: 2 images" in svg


def test_the_map_counts_all_points_and_leaves_out_those_outside():
    svg = charts.centre_map([0, 1, 0.5, 0.5, 1.2, -0.1], [0, 1, 0.5, 0.5, 0.5, 0.5], "objects")
    counts = [int(n) for n in re.findall(r"<title>(\d+) objects", svg)]
    assert sorted(counts) == [1, 1, 2]
    cells = [cell for cell in shapes(svg, "rect") if cell["class"] == "bar"]
    assert len({cell["style"] for cell in cells}) == 2


def test_charts_of_nothing():
    nothing = np.zeros(0)
    for svg in (
        charts.bars([], [], [], "px", "objects"),
        charts.scatter(nothing, nothing, "x", "y", "images"),
        charts.centre_map(nothing, nothing, "objects"),
    ):
        assert not shapes(svg, "circle") and len(shapes(svg, "rect")) <= 1


@pytest.mark.parametrize("value, text", [(0, "0"), (999, "999"), (1000, "1k"), (1500, "1.5k"), (2_000_000, "2M")])
def test_short_numbers(value, text):
    assert charts.short(value) == text
