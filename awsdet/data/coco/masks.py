"""Masks of annotations: polygons and run lengths."""

import math

import numpy as np


def read_mask(segmentation, height, width, name, anomalies):
    """(polygons, counts) of an annotation; None if the object must be left out."""
    if segmentation is None or segmentation == [] or segmentation == {}:
        anomalies.add("mask_absent", name)
        return [], None
    if isinstance(segmentation, dict):
        counts = _read_counts(segmentation, height, width)
        if counts is None:
            anomalies.add("rle_invalid", name)
            return None
        return [], counts
    if not isinstance(segmentation, list):
        anomalies.add("annotation_malformed", name)
        return None
    parts = segmentation if isinstance(segmentation[0], list) else [segmentation]  # a flat list is one polygon
    polygons = []
    for part in parts:
        numbers = finite_numbers(part)
        if numbers is None or len(numbers) < 6 or len(numbers) % 2:
            anomalies.add("polygon_short", name)
        else:
            polygons.append(numbers)
    if not polygons:
        anomalies.add("polygon_none_left", name)
        return None
    return polygons, None


def _read_counts(rle, height, width):
    """Run lengths of a COCO RLE dict, compressed or not; None if they do not fit a height x width mask."""
    counts = rle.get("counts")
    try:
        if isinstance(counts, str):
            counts = decompress_counts(counts)
        counts = [_integer(count) for count in counts]
        size = [_integer(side) for side in rle.get("size")]
        fits = size == [height, width] and min(counts, default=-1) >= 0 and sum(counts) == height * width
    except (TypeError, ValueError, IndexError):
        return None
    return counts if fits else None


def decompress_counts(text):
    """Run lengths from COCO's compressed text, which holds 5 bits per character, lowest bits first.

    From the third run on, the text gives each run as its difference from the run two places before it. Raises
    ValueError for an invalid character and for a text that ends within a number.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in a compressed RLE")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("a compressed RLE ends within a number")
    return counts


def run_lengths(mask):
    """COCO run lengths of a bool [H, W] mask: column-major, zeros first."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=not flat[-1]))
    return np.diff(edges, prepend=0).tolist()


def polygon_area(polygon):
    xs, ys = polygon[0::2], polygon[1::2]
    return 0.5 * sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))


def finite_numbers(values):
    """Finite floats, or None if `values` is not a list of finite numbers."""
    if not isinstance(values, (list, tuple)):
        return None
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _integer(value):
    """An int from an int, a whole float or a string of digits; None from anything else."""
    try:
        return int(value) if int(value) == float(value) else None
    except (TypeError, ValueError, OverflowError):
        return None
