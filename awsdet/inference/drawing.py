"""Draws objects in images with Pillow: masks, boxes and names, in a colour per class."""

import colorsys
import math
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as coco_mask

from awsdet.data.coco.images import as_array
from awsdet.detection.found import Found
from awsdet.inference.fonts import font_for

_MASK_OPACITY = 0.45
_BACKGROUND = (255, 255, 255)
# Kind of an outline -> lengths of its dashes and gaps, in widths of the line.
_DASHES = {"dashed": (5, 3), "dotted": (1, 2)}


class DrawnObject(NamedTuple):
    """One object to draw, in pixels of its image."""

    box: tuple  # x1, y1, x2, y2
    label: str  # empty: none
    class_index: int  # decides the colour
    mask: dict | None = None  # COCO RLE of the image's size
    outline: str = "solid"  # or dashed, dotted
    short: str = ""  # a label of Latin letters, if no font has those of `label`; empty: the number of the class
    color: tuple | None = None  # red, green, blue; None: that of the class

    @property
    def paint(self):
        """The colour that it is drawn in."""
        return class_color(self.class_index) if self.color is None else self.color


def detected_objects(found, class_names, score_threshold=0.0):
    """The DrawnObjects of a `detection.found.Found`, each labelled with its class and score."""
    masks = found.masks or [None] * len(found.boxes)
    return [
        DrawnObject(
            tuple(box), f"{class_names[label]} {score:.2f}", int(label), mask, short=f"class {label} {score:.2f}"
        )
        for box, score, label, mask in zip(found.boxes.tolist(), found.scores, found.classes, masks)
        if score >= score_threshold
    ]


def class_color(class_index):
    """The colour of a class, (red, green, blue) 0 … 255: neighbours in the class list lie far apart on the wheel."""
    hue = class_index * 0.61803398875 % 1  # the golden ratio spreads any number of hues
    saturation, value = [(0.9, 0.95), (0.6, 1.0), (1.0, 0.7)][class_index % 3]
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))


def draw(image: Any, found: Found, score_threshold: float = 0.5, scale: float = 1.0) -> Image.Image:
    """A picture of what `Detector.find` found, ready for a notebook to show.

    Args:
      image: the image that was given to `find`: a path, an array or a Pillow image.
      found: detection.found.Found.
      score_threshold: objects with a lower score are not drawn; 0 to 1.
      scale: enlargement of the picture, more than 0.

    Returns an RGB Pillow image. Raises ValueError for a threshold or a scale outside these ranges.
    """
    if not 0 <= score_threshold <= 1:
        raise ValueError(f"score_threshold is {score_threshold}; it must lie between 0 and 1")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale is {scale}; it must be more than 0")
    labels = found.names or [f"class {label}" for label in found.classes]
    class_names = dict(zip(found.classes.tolist(), labels))
    return draw_objects(as_array(image), detected_objects(found, class_names, score_threshold), scale)


def draw_objects(image, objects, scale=1.0):
    """Draws objects on an image.

    Args:
      image: uint8 [H, W, 3] RGB array or a Pillow image; it is not changed.
      objects: DrawnObjects in pixels of `image`. The first is drawn last, on top of the others.
      scale: enlargement of the picture; lines and text keep their size.

    Returns:
      An RGB Pillow image of the image's size times `scale`.
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    picture = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    objects = list(objects)[::-1]
    for item in objects:
        if item.mask is not None:
            _tint(picture, item)
    canvas = ImageDraw.Draw(picture)
    line = max(2, round(max(size) / 400))
    for item in objects:
        _outline(canvas, _scaled_box(item.box, scale, size), item.paint, line, item.outline)
    letters = min(20, max(11, max(size) / 45))
    for item in objects:
        if item.label:
            _write_label(canvas, item, _scaled_box(item.box, scale, size), size, letters)
    return picture


def side_by_side(rows, panel_side=480):
    """One picture of several images: each row shows an image with its predictions and with its ground truth.

    Args:
      rows: tuples (image, predicted objects, true objects); image as for `draw_objects`.
      panel_side: the longer side of each drawn image, in pixels.

    Returns:
      An RGB Pillow image.
    """
    gap = 8
    panels = []
    for image, *sets in rows:
        long_side = max(image.shape[:2] if isinstance(image, np.ndarray) else image.size)
        panels.append([draw_objects(image, objects, panel_side / long_side) for objects in sets])
    header = 30
    height = header + sum(pair[0].size[1] + gap for pair in panels)
    sheet = Image.new("RGB", (2 * panel_side + 3 * gap, height), _BACKGROUND)
    canvas = ImageDraw.Draw(sheet)
    for column, title in enumerate(("predictions", "ground truth")):
        canvas.text((gap + column * (panel_side + gap), 6), title, fill=(0, 0, 0), font=ImageFont.load_default(size=16))
    top = header
    for pair in panels:
        for column, panel in enumerate(pair):
            sheet.paste(panel, (gap + column * (panel_side + gap), top))
        top += pair[0].size[1] + gap
    return sheet


def _tint(picture, item):
    mask = Image.fromarray(coco_mask.decode(item.mask) * np.uint8(round(255 * _MASK_OPACITY)))
    picture.paste(item.paint, (0, 0), mask.resize(picture.size, Image.Resampling.BILINEAR))


def _scaled_box(box, scale, size):
    """The corner pixels of the box's outline, inside the picture and in order."""
    x1, y1, x2, y2 = (coordinate * scale for coordinate in box)
    x1, y1 = (min(max(0, round(v)), side - 1) for v, side in zip((x1, y1), size))
    x2, y2 = (min(max(low, round(v) - 1), side - 1) for v, low, side in zip((x2, y2), (x1, y1), size))
    return x1, y1, x2, y2


def _outline(canvas, box, color, line, kind):
    """Draws the outline of a box, `line` px wide, inside it; kind: solid, dashed or dotted."""
    if kind == "solid":
        canvas.rectangle(box, outline=color, width=line)
        return
    dash, gap = (line * length for length in _DASHES[kind])
    x1, y1, x2, y2 = box
    for x in range(x1, x2 + 1, dash + gap):
        for top in (y1, max(y1, y2 - line + 1)):
            canvas.rectangle((x, top, min(x + dash - 1, x2), min(top + line - 1, y2)), fill=color)
    for y in range(y1, y2 + 1, dash + gap):
        for left in (x1, max(x1, x2 - line + 1)):
            canvas.rectangle((left, y, min(left + line - 1, x2), min(y + dash - 1, y2)), fill=color)


def _readable(item, letters):
    """(text, font) of a label: what there is a font for."""
    font = font_for(item.label, letters)
    if font is not None:
        return item.label, font
    short = item.short or f"class {item.class_index}"
    logging.log_first_n(
        logging.WARNING,
        "no font of this system has the letters of %s, so pictures show class numbers; fonts-noto-cjk has most",
        1,
        item.label,
    )
    return short, ImageFont.load_default(size=round(letters))


def _write_label(canvas, item, box, size, letters):
    """Writes the label in a field of the class's colour, above the box or, if there is no room, inside its top."""
    text, font = _readable(item, letters)
    left, top, right, bottom = canvas.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else box[1]
    color = item.paint
    canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=color)
    dark = (299 * color[0] + 587 * color[1] + 114 * color[2]) / 1000 < 140
    canvas.text((x + 2 - left, y + 2 - top), text, fill=(255, 255, 255) if dark else (0, 0, 0), font=font)
