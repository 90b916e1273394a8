"""Masks of annotations, in COCO's forms (polygons, run lengths) and in those that other tools write instead.

A segmentation may be: a list of polygons; one flat polygon; a list of points, as pairs or as {"x", "y"}, or a list of
such lists; any of them in further lists; an RLE, plain or compressed; a list of RLEs, or of RLEs and polygons, whose
union is meant; rows of pixels, each 0 or 1 (or 0 or 255). `awsdet.data.coco.anomalies` has the kinds of what is unusual
or wrong.
"""

from typing import NamedTuple

from awsdet.data.coco.numerals import NUMBERS, finite_numbers
from awsdet.data.coco.polygons import LARGEST_AREA, Bounds, is_flat, kept_near, measure
from awsdet.data.coco.rle import bitmap_counts, decompress_counts, merged_counts, read_counts, run_bounds, run_lengths

__all__ = ["NO_MASK", "Mask", "decompress_counts", "read_mask", "run_lengths"]

_SURE = 1e-6  # area as a share of the bounds, from which on polygons are not flat
_DEEPEST = 6  # lists in lists
_BASE64_PNG = ("iVBORw0KGgo", "data:image")


class Mask(NamedTuple):
    """A mask: polygons (flat lists of x0, y0, …), or COCO run lengths, or neither.

    bounds: of all of it, also outside of the image; None without a mask. area: in pixels.
    """

    polygons: list
    counts: list | None
    bounds: Bounds | None
    area: float


NO_MASK = Mask([], None, None, 0.0)


class _Parts(NamedTuple):
    """What a segmentation holds: flat polygons, RLE dicts, things that are neither; empty lists; unusual forms seen."""

    polygons: list
    codes: list
    unknown: list
    empty: list
    forms: list


def read_mask(segmentation, height, width, note):
    """The Mask of an annotation of an image of height x width px; NO_MASK if it has none that can be used.

    note: called with each kind of what is unusual or wrong, and perhaps with details.
    """
    if segmentation is None or segmentation == []:
        note("mask_absent")
        return NO_MASK
    rows = bitmap_counts(segmentation, height, width)
    if rows is not None:
        parts = _Parts([], [{"size": [height, width], "counts": rows}], [], [], ["rows of pixels"])
    else:
        parts = _sort(segmentation, note)
    if parts is None:
        return NO_MASK
    polygons = [polygon for polygon in (_read_polygon(p, height, width, note) for p in parts.polygons) if polygon]
    codes = [counts for counts in (read_counts(code, height, width, note) for code in parts.codes) if counts]
    for thing in parts.unknown:
        note("polygon_not_numbers", str(thing)[:40])
    for thing in parts.empty:
        note("polygon_short", str(thing))
    if not polygons and not codes:
        note("mask_dropped")
        return NO_MASK
    if parts.forms:
        note("mask_form", parts.forms[0])
    if codes and (polygons or len(codes) > 1):
        codes, polygons = [merged_counts(polygons, codes, height, width)], []
    mask = _of_counts(codes[0], height) if codes else _of_polygons(polygons)
    if mask is None or mask.bounds.inside(height, width) is None:
        note("mask_empty")
        return NO_MASK
    return mask


def plain_mask(segmentation, height, width):
    """What `read_mask` returns, but None unless it is a list of sound polygons near the image; this saves time."""
    if type(segmentation) is not list or not segmentation or len(segmentation) == height:  # perhaps rows of pixels
        return None
    shapes = []
    for polygon in segmentation:
        if type(polygon) is not list or len(polygon) < 6 or len(polygon) % 2:
            return None
        if not NUMBERS.issuperset(map(type, polygon)):
            return None
        try:
            shapes.append(measure(polygon))
        except OverflowError:  # an integer of more than 308 digits
            return None
    mask = _of_shapes(segmentation, shapes)
    left, top, right, bottom = mask.bounds
    near = -width <= left < width and -height <= top < height and 0 < right <= 2 * width and 0 < bottom <= 2 * height
    # With a number that is not finite, the area is not either.
    return (
        mask if near and _SURE * (right - left) * (bottom - top) < mask.area <= LARGEST_AREA * height * width else None
    )


def _of_counts(counts, height):
    bounds = run_bounds(counts, height)
    return Mask([], counts, bounds, float(sum(counts[1::2]))) if bounds else None


def _of_polygons(polygons):
    """The Mask of polygons; None if none of them has an area."""
    return None if all(map(is_flat, polygons)) else _of_shapes(polygons, [measure(polygon) for polygon in polygons])


def _of_shapes(polygons, shapes):
    """The Mask of polygons; shapes: what `measure` says of each."""
    if len(shapes) == 1:
        return Mask(polygons, None, *shapes[0])
    bounds, areas = zip(*shapes)
    lefts, tops, rights, bottoms = zip(*bounds)
    return Mask(polygons, None, Bounds(min(lefts), min(tops), max(rights), max(bottoms)), sum(areas))


# ------------------------------------------------------------------------------------------------------------- polygons


def _read_polygon(values, height, width, note):
    """A flat list of finite numbers from one part of a mask, kept near the image; None if it is no polygon."""
    polygon = finite_numbers(values, note)
    if polygon is None:
        note("polygon_not_numbers", str(values)[:40])
        return None
    count = len(polygon)
    if count < 6 or count % 2:
        kind = "polygon_box" if count == 4 else "polygon_odd" if count % 2 else "polygon_short"
        note(kind, str(values)[:40])
        return None
    near = kept_near(polygon, height, width)
    if near is not polygon:
        xs, ys = polygon[0::2], polygon[1::2]
        note("polygon_far" if near else "polygon_outside", f"bounds {min(xs):g} {min(ys):g} {max(xs):g} {max(ys):g}")
    return near


# ---------------------------------------------------------------------------------------------------------------- forms


def _sort(segmentation, note):
    """The _Parts of a segmentation; None if there are none, which `note` is told."""
    text = _text_of(segmentation)
    if text:
        note("mask_png" if text.startswith(_BASE64_PNG) else "mask_text", text[:20])
        return None
    parts = _Parts([], [], [], [], [])
    if isinstance(segmentation, list):
        _collect(segmentation, parts, 0)
    elif isinstance(segmentation, dict) and segmentation:
        (parts.codes if "counts" in segmentation else parts.unknown).append(segmentation)
    elif segmentation not in (None, {}, "") and not isinstance(segmentation, str):
        parts.unknown.append(segmentation)
    if parts.polygons or parts.codes or parts.unknown:
        return parts
    note("mask_absent")
    return None


def _text_of(segmentation):
    """The text that stands in place of a mask: alone, in a list, or as a PNG in an object; None if there is none."""
    if isinstance(segmentation, list) and len(segmentation) == 1:
        segmentation = segmentation[0]
    if isinstance(segmentation, dict):
        texts = [value for value in segmentation.values() if isinstance(value, str)]
        return next((text for text in texts if text.startswith(_BASE64_PNG)), None)
    return segmentation if isinstance(segmentation, str) and segmentation.strip() else None


def _collect(values, parts, depth):
    """Adds what a list holds to `parts`."""
    kinds = set(map(type, values))
    if not kinds & {list, dict}:
        (parts.polygons if values else parts.empty).append(values)
        if values and depth > 1:
            parts.forms.append("lists in lists")
    elif all(map(_is_point, values)):
        parts.polygons.append([number for point in values for number in _coordinates(point)])
        parts.forms.append("points")
    elif depth == _DEEPEST:
        parts.unknown.append("lists in lists in lists")
    else:
        for value in values:
            if type(value) is list:
                _collect(value, parts, depth + 1)
            elif isinstance(value, dict) and "counts" in value:
                parts.codes.append(value)
                parts.forms.append("RLE in a list")
            else:
                (parts.empty if value == {} else parts.unknown).append(value)


def _is_point(value):
    if isinstance(value, dict):
        return "x" in value and "y" in value
    return type(value) is list and len(value) == 2 and not isinstance(value[0], list | dict)


def _coordinates(point):
    return (point["x"], point["y"]) if isinstance(point, dict) else point
