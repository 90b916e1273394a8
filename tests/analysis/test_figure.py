"""Figures as SVG and PNG: the same shapes at the same places, and text that stays text."""

import xml.etree.ElementTree

import numpy as np
import pytest

from awsdet.analysis.axes import Axes, Series, grid, legend, lines, span, ticks
from awsdet.analysis.figure import Area, Figure, Line, Words, box, file_svg, inline_svg, shortened, text_width
from awsdet.analysis.raster import raster

HOSTILE = '</text><script>alert(1)</script>"&<b>'


def elements(svg, tag):
    return [one for one in xml.etree.ElementTree.fromstring(svg).iter() if one.tag.endswith(tag)]


def pixels(*shapes, size=(40, 30), scale=2.0):
    return np.asarray(raster(Figure(*size, list(shapes), "test"), scale)).astype(int)


def test_an_svg_is_well_formed_and_follows_the_page_only_within_one():
    shapes = [Line(((0, 1), (5.25, 6)), "main", 2, "4 3", 0.5), box(1, 2, 3, 4, "#ff0000", 0.5, HOSTILE)]
    figure = Figure(10, 20, [*shapes, Words(3, 4, HOSTILE, "ink", 9, "end", turned=True)], HOSTILE)
    inside, alone = inline_svg(figure), file_svg(figure)
    assert "var(--main)" in inside and "var(" not in alone and "#2f6fde" in alone and "script>" not in inside
    assert 'xmlns="http://www.w3.org/2000/svg"' in alone and alone.index("#ffffff") < alone.index("#2f6fde")
    for svg in (inside, alone):
        (words,) = elements(svg, "text")
        assert words.text == HOSTILE and words.attrib["transform"] == "rotate(-90 3.0 4.0)"
        assert elements(svg, "title")[0].text == HOSTILE
        assert elements(svg, "polyline")[0].attrib["points"] == "0.0,1.0 5.2,6.0"


def test_areas_lie_in_a_png_where_they_lie_in_the_figure():
    image = pixels(box(10, 5, 20, 10, "#ff0000"), box(10, 5, 10, 10, "#0000ff", 0.5))
    assert image.shape == (60, 80, 3)
    assert image[20, 50].tolist() == [255, 0, 0] and image[9, 50].tolist() == [255, 255, 255]
    assert image[20, 30] == pytest.approx([127, 0, 128], abs=2) and image[40, 30].tolist() == [255, 255, 255]


def test_lines_and_dashes():
    image = pixels(Line(((0, 15), (40, 15)), "#000000", 2))
    assert (image[30, 1:79] == 0).all() and (image[20] == 255).all()
    dashed = pixels(Line(((0, 15), (40, 15)), "#000000", 2, "4 6"))[30, :, 0] < 128
    assert dashed.sum() == pytest.approx(32, abs=5) and np.count_nonzero(np.diff(dashed.astype(int)) == 1) >= 3
    assert dashed[2] and not dashed[14] and dashed[24]
    assert (pixels(Line(((5, 5),), "#000000")) == 255).all()


@pytest.mark.parametrize("anchor, left, right", [("start", 60, 120), ("middle", 30, 90), ("end", 0, 60)])
@pytest.mark.parametrize("turned", [False, True])
def test_words_lie_beside_their_point(anchor, left, right, turned):
    ink = pixels(Words(30, 30, "mmm", "#000000", 10, anchor, turned), size=(60, 60))[..., 0] < 128
    along, across = np.flatnonzero(ink.any(axis=int(turned))), np.flatnonzero(ink.any(axis=int(not turned)))
    if turned:  # reads upwards
        along = 120 - along
    assert along.min() >= left - 3 and along.max() <= right + 3 and len(along) > 20
    assert across.max() <= 61 and across.min() >= 38


@pytest.mark.parametrize("low, high", [(0, 1), (0, 0.0087), (0, 473), (0, 90_000), (-0.5, 2), (0, 1e-6), (0, 3)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7 and found[0] >= low - 1e-12 and found[-1] <= high * (1 + 1e-9)
    steps = np.diff(found)
    assert steps == pytest.approx(steps[0]) and f"{steps[0]:e}"[:4] in ("1.00", "2.00", "5.00")


def test_points_lie_in_the_axes():
    axes = Axes.inside(100, 50, 300, 200, (0, 10), (-1, 1))
    assert axes.place(0, -1) == (axes.left, axes.top + axes.height)
    assert axes.place(10, 1) == (axes.left + axes.width, axes.top)
    shapes = grid(axes, "title", "step", "loss") + lines(
        axes, [Series([(0, -1), (5, 0), (10, 1)], "#123456", dots=True)]
    )
    words = [shape.text for shape in shapes if isinstance(shape, Words)]
    assert {"title", "step", "loss", "0", "10", "-1"} <= set(words)
    (line,) = [shape for shape in shapes if isinstance(shape, Line) and shape.color == "#123456"]
    assert line.points[1] == axes.place(5, 0)
    assert sum(isinstance(shape, Area) for shape in shapes) == 3


def test_faint_lines_lie_below_the_others_and_one_point_is_a_dot():
    axes = Axes.inside(0, 0, 300, 200, (0, 10), (0, 1))
    first, second = lines(axes, [Series([(0, 0), (1, 1)], "#111111"), Series([(0, 0), (1, 1)], "#222222", faint=True)])
    assert first.color == "#222222" and first.opacity < second.opacity
    assert [type(shape) for shape in lines(axes, [Series([(2, 0.5)], "#111111")])] == [Area]


def test_a_legend_wraps_and_shortens():
    shapes, height = legend([("#111111", "a" * 30), ("#222222", "b" * 30), ("#333333", "c" * 300)], 0, 0, 260)
    assert height == 54
    for shape in shapes:
        if isinstance(shape, Words):
            assert shape.x + text_width(shape.text, shape.size) <= 265
    assert legend([], 0, 0, 260) == ([], 0)
    assert shortened("abc", 12, 100) == "abc" and shortened("abcdefghij", 10, 30).endswith("…")


def test_the_span_of_an_axis():
    assert span([0.5, 2.0]) == (0.0, 2.1) and span([0.0]) == (0.0, 1e-6) and span([]) == (0.0, 1.05)
    low, high = span([-1.0, 1.0])
    assert low < -1 and high > 1
