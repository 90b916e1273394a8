"""The charts of the report, as figures."""

import numpy as np

from awsdet.analysis.axes import Axes, grid
from awsdet.analysis.breakdown import CURVES, areas
from awsdet.analysis.calibration import BINS, Calibration
from awsdet.analysis.confusion import Confusion
from awsdet.analysis.figure import Area, Figure, Line, Words, box, shortened
from awsdet.analysis.precision import ABSENT, RECALLS
from awsdet.analysis.tide import KINDS, SPECIAL, Tide

# Of the areas that COCO's analysis draws, from the inside to the outside.
_SHADES = ("#0b3c6f", "#2f6fde", "#8fb7f3", "#0f8a6d", "#8ed1b8", "#b38ad6", "#e9a23b")
KIND_COLORS = {
    "Cls": "#cc79a7",
    "Loc": "#e69f00",
    "Both": "#7f6fc9",
    "Dupe": "#56b4e9",
    "Bkg": "#d55e00",
    "Miss": "#c8102e",
    "FP": "#8a8f98",
    "FN": "#8a8f98",
}
MOST_CLASSES = 24  # of a confusion matrix that is drawn


def tide_bars(tide: Tide) -> Figure:
    """What each error kind costs, in points of AP."""
    names = (*KINDS, *SPECIAL)
    row, left, right = 26, 52, 60
    high = max(max(tide.gains.values()), 1e-9)
    width = 560 - left - right
    shapes = []
    for index, name in enumerate(names):
        y = 8 + index * row + (10 if name in SPECIAL else 0)
        length = width * tide.gains[name] / high
        shapes += [
            Words(left - 8, y + 14, name, "ink", 13, "end"),
            box(left, y, max(length, 1), 18, KIND_COLORS[name], title=f"{name}: {tide.counts[name]:,} errors"),
            Words(left + max(length, 1) + 6, y + 14, f"{100 * tide.gains[name]:.1f}"),
        ]
    return Figure(560, 8 + len(names) * row + 18, shapes, "points of AP that each kind of error costs")


def area_curves(curves, title: str, small: bool = False) -> Figure:
    """The areas of COCO's analysis: `curves`, float64 [7, 101], of one class or of all."""
    width, height, key = (260, 220, 0) if small else (560, 300, 128)
    axes = Axes.inside(0, 4, width - key, height - 4, (0, 1), (0, 1))
    shapes, under = [], np.zeros(len(RECALLS))
    sizes = areas(curves)
    for name, color, curve, size in zip(CURVES, _SHADES, curves, sizes):
        curve = np.maximum(curve, under)
        shapes.append(Area(_band(axes, under, curve), color, title=f"{name} {size:.3f}"))
        under = curve
    shapes += grid(axes, title, "recall", "" if small else "precision")
    if key:
        left, top = axes.left + axes.width + 14, axes.top + 4
        for index, (name, color, size) in enumerate(zip(CURVES, _SHADES, sizes)):
            shapes.append(box(left, top + 24 * index, 14, 14, color))
            shapes.append(Words(left + 20, top + 24 * index + 12, f"{name}  {size:.3f}", "ink", 13))
    return Figure(width, height, shapes, f"precision over recall, and what lowers it: {title}")


def _band(axes, low, high):
    """The points of what lies between two curves, without those that change nothing."""
    upper = _corners([axes.place(x, y) for x, y in zip(RECALLS, high)])
    lower = _corners([axes.place(x, y) for x, y in zip(RECALLS, low)])
    return (*upper, *lower[::-1])


def _corners(points):
    kept = [
        here
        for before, here, after in zip(points, points[1:], points[2:])
        if not abs(before[1] - here[1]) + abs(here[1] - after[1]) < 0.05
    ]
    return [points[0], *kept, points[-1]]


def reliability(found: Calibration) -> Figure:
    """How often detections of each score are right."""
    axes = Axes.inside(0, 0, 420, 300, (0, 1), (0, 1))
    shapes = grid(axes, "", "score", "share that is right")
    top = max(int(found.counts.max()), 1)
    for index, (count, right) in enumerate(zip(found.counts.tolist(), found.accuracy.tolist())):
        if count:
            x, y = axes.place(index / BINS, right)
            x_end, base = axes.place((index + 1) / BINS, 0)
            title = f"score {index / BINS:.1f} to {(index + 1) / BINS:.1f}: {count:,} detections, {right:.0%} right"
            strength = 0.35 + 0.65 * np.log1p(count) / np.log1p(top)
            shapes.append(box(x + 1, min(y, base - 1.5), x_end - x - 2, max(base - y, 1.5), "main", strength, title))
    shapes.append(Line((axes.place(0, 0), axes.place(1, 1)), "other", 1.5, "5 4"))
    return Figure(420, 300, shapes, "the share of detections that are right, by score")


def confusion_map(found: Confusion, labels) -> tuple:
    """(Figure, classes left out) of the matrix; of many classes, those that are confused most often."""
    matrix, count = found.matrix, len(labels)
    shown = np.arange(count)
    if count > MOST_CLASSES:
        inner = matrix[:-1, :-1] - np.diag(np.diag(matrix[:-1, :-1]))
        order = np.argsort(-(inner.sum(axis=0) + inner.sum(axis=1)), kind="stable")
        shown = np.sort(order[:MOST_CLASSES])
    rows = np.append(shown, count)
    part = matrix[np.ix_(rows, rows)]
    names = [*(labels[index] for index in shown.tolist()), "background"]
    cell = 30 if len(rows) <= 16 else 24
    side = 130
    shapes = [Words(side + cell * len(rows) / 2, 14, "detected class", "soft", 12, "middle")]
    shapes.append(Words(14, side + cell * len(rows) / 2, "true class", "soft", 12, "middle", turned=True))
    sums = np.maximum(part.sum(axis=1), 1)
    for i, name in enumerate(names):
        label = shortened(name, 12, side - 26)
        at = side + i * cell
        shapes.append(Words(side - 6, at + cell / 2 + 4, label, "ink", 12, "end"))
        shapes.append(Words(at + cell / 2 + 4, side - 6, label, "ink", 12, "start", turned=True))
        for j in np.flatnonzero(part[i]).tolist():
            shapes += _cell(side + j * cell, at, cell, part[i, j], part[i, j] / sums[i], i == j, (name, names[j]))
    size = side + cell * len(rows) + 4
    return Figure(size, size, shapes, "confusion matrix"), count - len(shown)


def _cell(x, y, side, number, share, right, names):
    title = f"{names[0]} detected as {names[1]}: {number:,}"
    dark = share > 0.55
    text = f"{number}" if number < 1000 else f"{number / 1000:.0f}k"
    color = "main" if right else "other"
    return [
        box(x + 0.5, y + 0.5, side - 1, side - 1, color, 0.15 + 0.85 * float(share), title),
        Words(x + side / 2, y + side / 2 + 4, text, "paper" if dark else "ink", 10, "middle"),
    ]


def is_there(curves) -> bool:
    """Whether a class, float64 [7, 101], has objects."""
    return bool(curves[0, 0] > ABSENT)
