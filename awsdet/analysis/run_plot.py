"""Draws the losses and AP of runs over their steps, as one figure of several charts."""

from awsdet.analysis.axes import Axes, Series, grid, legend, lines, span
from awsdet.analysis.figure import SERIES, Figure
from awsdet.analysis.runs import smoothed
from awsdet.runtime.errors import UserError

_WIDTH, _HEIGHT, _COLUMNS = 460, 260, 2  # of a chart, and charts side by side
_FIRST = ("box_ap", "mask_ap", "box_ap50", "mask_ap50", "loss")  # then the other losses
_LAST = ("learning_rate",)
_MOST_RUNS = len(SERIES)


def usual_fields(runs) -> list:
    """The fields that are drawn if none are named: AP, losses, learning rate; those that a run has."""
    there = dict.fromkeys(name for run in runs for name in run.curves)
    losses = [name for name in there if name.endswith("_loss")]
    return [name for name in (*_FIRST, *losses, *_LAST) if name in there]


def plot(runs, fields=()) -> Figure:
    """The Figure of Runs. fields: names in metrics.jsonl; empty: `usual_fields`.

    Raises UserError for a field that no run has, and for more runs than colours.
    """
    if len(runs) > _MOST_RUNS:
        raise UserError(f"{len(runs)} runs are given; more than {_MOST_RUNS} cannot be told apart in one picture")
    there = sorted({name for run in runs for name in run.curves})
    for name in fields:
        if name not in there:
            raise UserError(f"no run has the field {name}; there are {', '.join(there)}")
    fields = list(dict.fromkeys(fields)) or usual_fields(runs)
    if not fields:
        raise UserError(f"these runs have neither losses nor AP; name fields with --fields: {', '.join(there)}")
    columns = min(_COLUMNS, len(fields))
    names = [(color, run.name) for color, run in zip(SERIES, runs)]
    shapes, top = legend(names, 14, 8, columns * _WIDTH - 28)
    top += 12
    for index, name in enumerate(fields):
        left, row = index % columns * _WIDTH, index // columns
        shapes += _chart(name, runs, left, top + row * _HEIGHT)
    rows = -(-len(fields) // columns)
    return Figure(columns * _WIDTH, top + rows * _HEIGHT + 6, shapes, f"runs {', '.join(run.name for run in runs)}")


def _chart(name, runs, left, top):
    drawn = []
    for color, run in zip(SERIES, runs):
        points = run.curves.get(name, [])
        if not points:
            continue
        if _is_noisy(name):
            drawn.append(Series(points, color, faint=True))
            points = smoothed(points)
        drawn.append(Series(points, color, run.name, dots=len(points) < 25))
    steps = [step for run in runs for points in run.curves.values() for step, _ in points]
    values = [value for one in drawn for _, value in one.points]
    axes = Axes.inside(left, top, _WIDTH, _HEIGHT, (0, max(max(steps), 1)), span(values))
    return [*grid(axes, name, "step"), *lines(axes, drawn)]


def _is_noisy(name):
    """Whether single values say little, so that the mean over some steps is drawn, and the values faintly behind it."""
    return name == "loss" or name.endswith("_loss")
