"""Line charts with axes and a legend, as shapes of a figure."""

import math
from typing import NamedTuple

from awsdet.analysis.figure import Area, Line, Words, shortened, text_width
from awsdet.survey.charts import short

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 24, 34  # margins
_LETTERS = 12


class Series(NamedTuple):
    """A line of a chart: points [(x, y)], colour, name in the legend (empty: none). faint: as a background of another;
    dots: each point has one.
    """

    points: list
    color: str
    name: str = ""
    faint: bool = False
    dots: bool = False


class Axes(NamedTuple):
    """Where a chart lies, and its axes. x, y: the lower and the upper end of what they show."""

    left: float
    top: float
    width: float
    height: float
    x: tuple
    y: tuple

    @classmethod
    def inside(cls, left, top, width, height, x, y):
        """Axes with margins for their numbers, in a field of a figure."""
        return cls(left + _LEFT, top + _TOP, width - _LEFT - _RIGHT, height - _TOP - _BOTTOM, x, y)

    def place(self, x, y):
        """Where a point of the chart lies in the figure."""
        (low_x, high_x), (low_y, high_y) = self.x, self.y
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return self.left + self.width * across, self.top + self.height * (1 - up)


def ticks(low: float, high: float, most: int = 6) -> list:
    """Round numbers from `low` to `high`, which is larger; `most` of them at most."""
    raw = (high - low) / max(most - 1, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10, 20) if unit * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    found = [round(step * i, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return [value + 0.0 for value in found]  # no -0


def grid(axes: Axes, title: str, x_label: str, y_label: str = "") -> list:
    """The shapes of the axes: lines and numbers."""
    shapes = []
    for value in ticks(*axes.y):
        x, y = axes.place(axes.x[0], value)
        shapes.append(Line(((x, y), (x + axes.width, y)), "line", 1))
        shapes.append(Words(x - 6, y + 4, short(value) if value >= 0 else f"{value:g}", anchor="end"))
    for value in ticks(*axes.x):
        x, y = axes.place(value, axes.y[0])
        shapes.append(Line(((x, y), (x, y + 4)), "soft", 1))
        shapes.append(Words(x, y + 16, short(value) if value >= 0 else f"{value:g}", anchor="middle"))
    base = axes.top + axes.height
    shapes.append(Line(((axes.left, base), (axes.left + axes.width, base)), "soft", 1))
    if title:
        shapes.append(Words(axes.left, axes.top - 9, shortened(title, 14, axes.width), "ink", 14))
    shapes.append(Words(axes.left + axes.width / 2, base + 30, x_label, anchor="middle"))
    if y_label:
        shapes.append(Words(axes.left - 38, axes.top + axes.height / 2, y_label, anchor="middle", turned=True))
    return shapes


def lines(axes: Axes, series: list) -> list:
    """The shapes of the lines, faint ones first."""
    shapes = []
    for one in sorted(series, key=lambda one: not one.faint):
        points = tuple(axes.place(x, y) for x, y in one.points)
        if len(points) > 1:
            shapes.append(Line(points, one.color, 1 if one.faint else 1.8, opacity=0.35 if one.faint else 1.0))
        if one.dots or len(points) == 1:
            shapes += [dot(x, y, 2.6, one.color, 0.35 if one.faint else 1.0) for x, y in points]
    return shapes


def dot(x, y, radius, color, opacity=1.0) -> Area:
    """A filled circle, as a polygon."""
    corners = [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in (i * math.pi / 8 for i in range(16))]
    return Area(tuple(corners), color, opacity)


def legend(entries: list, left: float, top: float, width: float) -> tuple:
    """(shapes, height) of a legend: pairs (colour, name), in as many rows as they need."""
    shapes, x, y = [], left, top
    for color, name in entries:
        label = shortened(name, _LETTERS, width - 30)
        room = 22 + text_width(label, _LETTERS) + 16
        if x > left and x + room > left + width:
            x, y = left, y + 18
        shapes.append(Line(((x, y + 8), (x + 16, y + 8)), color, 3))
        shapes.append(Words(x + 22, y + 12, label, "ink", _LETTERS))
        x += room
    return shapes, (y - top + 18 if entries else 0)


def span(values, least: float = 1e-6) -> tuple:
    """(low, high) of an axis on which all values fit with some room; it starts at 0 if no value is below."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low >= 0:
        return 0.0, max(high * 1.05, least)
    room = 0.05 * max(high - low, least)
    return low - room, high + room
