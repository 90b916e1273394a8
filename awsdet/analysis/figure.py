"""Drawings as shapes, which are written as SVG here and as PNG in `raster`.

Coordinates are units of the drawing, x to the right and y down. A colour is "#rrggbb", or the name of a part of the
page ("ink", "soft", "line", "paper", "main", "other", "warn"), which follows the page from light to dark.
"""

from typing import NamedTuple

from awsdet.survey.page import text

# Colours of the parts in a file of its own, which has no page around it.
PARTS = {
    "ink": "#1c2430",
    "soft": "#5d6878",
    "line": "#dfe3e9",
    "paper": "#ffffff",
    "main": "#2f6fde",
    "other": "#e08a1e",
    "warn": "#b4400f",
}
# Of lines and areas that must be told apart, also by eyes that do not see all colours (after Okabe and Ito).
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6fc9", "#8a8f98")
LETTER = 0.56  # mean width of a letter, in sizes of the text


class Line(NamedTuple):
    """A line through points. dash: lengths of dashes and gaps as in SVG, empty: none."""

    points: tuple
    color: str
    width: float = 1.5
    dash: str = ""
    opacity: float = 1.0


class Area(NamedTuple):
    """A filled polygon. title: what shows when the pointer rests on it."""

    points: tuple
    color: str
    opacity: float = 1.0
    title: str = ""


class Words(NamedTuple):
    """A line of text; y is its base line. anchor: start, middle or end; turned: reads upwards."""

    x: float
    y: float
    text: str
    color: str = "soft"
    size: float = 12
    anchor: str = "start"
    turned: bool = False


class Figure(NamedTuple):
    """A drawing. name: what it shows, for those who do not see it."""

    width: float
    height: float
    shapes: list
    name: str


def box(x, y, width, height, color, opacity=1.0, title="") -> Area:
    """A filled rectangle."""
    return Area(((x, y), (x + width, y), (x + width, y + height), (x, y + height)), color, opacity, title)


def text_width(value: str, size: float) -> float:
    """About how wide a text is."""
    return LETTER * size * len(value)


def shortened(value: str, size: float, room: float) -> str:
    """The text, cut with a sign for it if it is wider than `room`."""
    most = max(int(room / (LETTER * size)), 2)
    return value if len(value) <= most else value[: most - 1] + "…"


def inline_svg(figure: Figure) -> str:
    """An SVG element for a page."""
    size = f'style="max-width:{figure.width:g}px" '  # on a wide page it stays as large as its text is meant to be
    return _svg(figure, size, lambda color: f"var(--{color})" if color in PARTS else color)


def file_svg(figure: Figure) -> str:
    """The text of an SVG file."""
    paper = box(0, 0, figure.width, figure.height, "paper")
    size = f'xmlns="http://www.w3.org/2000/svg" width="{figure.width:g}" height="{figure.height:g}" '
    drawing = figure._replace(shapes=[paper, *figure.shapes])
    return _svg(drawing, f'{size}font-family="sans-serif" ', color_of) + "\n"


def color_of(color: str) -> str:
    """ "#rrggbb" of a colour, in a file of its own."""
    return PARTS.get(color, color)


def _svg(figure, attributes, color):
    shapes = "".join(_WRITERS[type(shape)](shape, color) for shape in figure.shapes)
    return (
        f'<svg {attributes}viewBox="0 0 {figure.width:g} {figure.height:g}" role="img" '
        f'aria-label="{text(figure.name)}">{shapes}</svg>'
    )


def _points(points):
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(shape, color):
    dash = f";stroke-dasharray:{shape.dash}" if shape.dash else ""
    faint = f";stroke-opacity:{shape.opacity:g}" if shape.opacity < 1 else ""
    style = f"fill:none;stroke:{color(shape.color)};stroke-width:{shape.width:g};stroke-linejoin:round{dash}{faint}"
    return f'<polyline points="{_points(shape.points)}" style="{style}"/>'


def _area(shape, color):
    faint = f";fill-opacity:{shape.opacity:.3g}" if shape.opacity < 1 else ""
    opening = f'<polygon points="{_points(shape.points)}" style="fill:{color(shape.color)}{faint}"'
    return f"{opening}><title>{text(shape.title)}</title></polygon>" if shape.title else f"{opening}/>"


def _words(shape, color):
    turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.turned else ""
    anchor = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
    style = f"fill:{color(shape.color)};font-size:{shape.size:g}px"
    return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}"{anchor}{turn} style="{style}">{text(shape.text)}</text>'


_WRITERS = {Line: _line, Area: _area, Words: _words}
