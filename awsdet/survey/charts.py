"""Histograms, scatter plots and maps as inline SVG."""

import math
from collections.abc import Sequence

import numpy as np

from awsdet.survey.page import text

WIDTH, HEIGHT = 560, 230  # units of the drawing
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 22, 38  # margins
_MOST_DOTS = 3000
_MAP_CELLS = (18, 24)  # rows and columns


def bars(
    counts: Sequence,
    names: Sequence,
    ticks: Sequence,
    unit: str,
    what: str,
    marks: Sequence = (),
    regions: Sequence = (),
) -> str:
    """A histogram.

    Args:
      counts: height of each bar.
      names: what each bar is of, for the text that shows when the pointer rests on it.
      ticks: (position, label) of the labels below; position 0 is the left side of the first bar, 1 its right side.
      unit: what the axis shows; what: what is counted.
      marks: positions of dashed lines; regions: (position, label) of labels between them.
    """
    counts = np.asarray(counts)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(counts), 1)
    high = max(int(counts.max(initial=0)), 1)
    floor, room = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    parts = [*_grid(high, floor, room)]
    for index, (count, name) in enumerate(zip(counts.tolist(), names)):
        if count:
            length = max(room * count / high, 1.5)
            parts.append(
                f'<rect class="bar" x="{_LEFT + index * step + 1:.1f}" y="{floor - length:.1f}" '
                f'width="{max(step - 2, 1):.1f}" height="{length:.1f}" rx="1.5">'
                f"<title>{text(name)}: {count:,} {text(what)}</title></rect>"
            )
    for position in marks:
        x = _LEFT + position * step
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{floor}"/>')
    for position, label in regions:
        x = _LEFT + position * step
        parts.append(f'<text class="mark" x="{x:.1f}" y="{_TOP - 9}" text-anchor="middle">{text(label)}</text>')
    parts += [_label(_LEFT + position * step, floor + 15, label) for position, label in ticks]
    return _svg([*parts, _label(_LEFT + (WIDTH - _LEFT - _RIGHT) / 2, HEIGHT - 5, unit)], what)


def _grid(high, floor, room):
    """Lines and numbers of the vertical axis."""
    for value in nice_steps(high):
        y = floor - room * value / high
        yield f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>'


def nice_steps(high: float) -> list:
    """Round numbers from 0 to `high`, four to six of them (for a high of 4 or more), as an axis shows them."""
    raw = high / 4
    unit = 10 ** math.floor(math.log10(raw)) if raw >= 1 else 1
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    return [step * i for i in range(int(high // step) + 1)]


def short(value: float) -> str:
    """A number in few characters: 1200000 as 1.2M."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:g}"


def log_bins(values, low: float, high: float, per_octave: int) -> tuple:
    """Counts by the logarithm of values; those outside go to the first or last bin. low, high: powers of two.

    Returns (counts, names, positions): position(value) is where a value lies, in bins from the left.
    """
    first, bins = math.log2(low), round(math.log2(high / low) * per_octave)

    def position(value):
        return (math.log2(value) - first) * per_octave

    places = np.floor((np.log2(np.maximum(values, 1e-30)) - first) * per_octave).astype(int)
    counts = np.bincount(np.clip(places, 0, bins - 1), minlength=bins)
    edges = [low * 2 ** (i / per_octave) for i in range(bins + 1)]
    return counts, [f"{_plain(a)} to {_plain(b)}" for a, b in zip(edges, edges[1:])], position


def _plain(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def scatter(x, y, x_unit: str, y_unit: str, what: str) -> str:
    """A dot for each pair of values (0 or more); equal ones share a dot whose area grows with the logarithm."""
    pairs, counts = np.unique(np.stack([x, y], axis=1), axis=0, return_counts=True)
    chosen = np.argsort(-counts, kind="stable")[:_MOST_DOTS]
    pairs, counts = pairs[chosen], counts[chosen]
    high_x, high_y = (max(float(pairs[:, i].max(initial=1)) * 1.04, 1.0) for i in (0, 1))
    floor, room, width = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP, WIDTH - _LEFT - _RIGHT
    parts = [*_grid(high_y, floor, room)]
    parts += [_label(_LEFT + width * value / high_x, floor + 15, short(value)) for value in nice_steps(high_x)]
    for (a, b), count in zip(pairs.tolist(), counts.tolist()):
        radius = 3 + 1.5 * math.log2(count)
        parts.append(
            f'<circle class="dot" cx="{_LEFT + width * a / high_x:.1f}" cy="{floor - room * b / high_y:.1f}" '
            f'r="{radius:.1f}"><title>{a:g} x {b:g}: {count:,} {text(what)}</title></circle>'
        )
    parts.append(_label(_LEFT + width / 2, HEIGHT - 5, x_unit))
    parts.append(f'<text x="4" y="12">{text(y_unit)}</text>')
    return _svg(parts, what)


def centre_map(x, y, what: str) -> str:
    """Where points lie, as shares of their images' width and height: darker where there are more."""
    rows, columns = _MAP_CELLS
    cells = np.zeros((rows, columns), int)
    inside = (np.asarray(x) >= 0) & (np.asarray(x) <= 1) & (np.asarray(y) >= 0) & (np.asarray(y) <= 1)
    places = [np.minimum((np.asarray(v)[inside] * n).astype(int), n - 1) for v, n in ((y, rows), (x, columns))]
    np.add.at(cells, tuple(places), 1)
    side = (HEIGHT - 10) / rows
    left = (WIDTH - side * columns) / 2
    high = max(cells.max(), 1)
    parts = [
        f'<rect class="bar" x="{left + column * side:.1f}" y="{5 + row * side:.1f}" width="{side - 0.6:.1f}" '
        f'height="{side - 0.6:.1f}" style="opacity:{math.sqrt(cells[row, column] / high):.3f}">'
        f"<title>{cells[row, column]:,} {text(what)}</title></rect>"
        for row, column in zip(*np.nonzero(cells))
    ]
    size = f'width="{side * columns:.1f}" height="{HEIGHT - 10}"'
    frame = f'<rect class="axis" fill="none" x="{left:.1f}" y="5" {size}/>'
    return _svg([frame, *parts], what)


def _label(x, y, value):
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle">{text(value)}</text>'


def _svg(parts, what):
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(what)}">{"".join(parts)}</svg>'
