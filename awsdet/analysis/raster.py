"""Draws a figure with Pillow, from the same shapes as the SVG."""

import math

from PIL import Image, ImageColor, ImageDraw, ImageFont

from awsdet.analysis.figure import Area, Figure, Line, Words, color_of
from awsdet.inference.fonts import font_for

_FINE = 3  # everything is drawn so many times as large, then made smaller, for smooth edges


def raster(figure: Figure, scale: float = 2.0) -> Image.Image:
    """The figure as an RGB picture of `scale` pixels per unit."""
    size = tuple(max(1, round(side * scale)) for side in (figure.width, figure.height))
    fine = scale * _FINE
    picture = Image.new("RGB", tuple(side * _FINE for side in size), color_of("paper"))
    canvas = ImageDraw.Draw(picture, "RGBA")
    for shape in figure.shapes:
        if not isinstance(shape, Words):
            _DRAWERS[type(shape)](canvas, shape, fine)
    picture = picture.resize(size, Image.Resampling.BOX)
    for shape in figure.shapes:  # letters have smooth edges of their own
        if isinstance(shape, Words):
            _write(picture, shape, scale)
    return picture


def _color(shape):
    return (*ImageColor.getrgb(color_of(shape.color)), round(255 * getattr(shape, "opacity", 1.0)))


def _draw_line(canvas, shape, scale):
    points = [(x * scale, y * scale) for x, y in shape.points]
    pieces = [points] if not shape.dash else _dashes(points, [float(n) * scale for n in shape.dash.split()])
    for piece in pieces:
        if len(piece) > 1:
            canvas.line(piece, fill=_color(shape), width=max(1, round(shape.width * scale)), joint="curve")


def _dashes(points, lengths):
    """The parts of a line through points that dashes and gaps of these lengths leave."""
    pieces, piece, left, drawn, index = [], [points[0]], lengths[0], True, 0
    for (x, y), (x_end, y_end) in zip(points, points[1:]):
        length = math.hypot(x_end - x, y_end - y)
        done = 0.0
        while length - done > left:
            done += left
            at = (x + (x_end - x) * done / length, y + (y_end - y) * done / length)
            if drawn:
                pieces.append([*piece, at])
            drawn, piece, index = not drawn, [at], (index + 1) % len(lengths)
            left = lengths[index]
        left -= length - done
        piece.append((x_end, y_end))
    return [*pieces, piece] if drawn else pieces


def _draw_area(canvas, shape, scale):
    if len(shape.points) > 2:
        canvas.polygon([(x * scale, y * scale) for x, y in shape.points], fill=_color(shape))


_DRAWERS = {Line: _draw_line, Area: _draw_area}


def _write(picture, shape, scale):
    size = shape.size * scale
    font = font_for(shape.text, size) or ImageFont.load_default(size=round(size))
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
    if not shape.turned:
        ImageDraw.Draw(picture).text((shape.x * scale, shape.y * scale), shape.text, _color(shape)[:3], font, anchor)
        return
    left, top, right, bottom = (math.floor(v) for v in font.getbbox(shape.text, anchor="ls"))
    mask = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(mask).text((1 - left, 1 - top), shape.text, 255, font, "ls")
    mask = mask.transpose(Image.Transpose.ROTATE_90)
    shift = {"start": mask.height, "middle": mask.height / 2, "end": 0}[shape.anchor]
    corner = round(shape.x * scale + top), round(shape.y * scale - shift)
    picture.paste(_color(shape)[:3], corner, mask)
