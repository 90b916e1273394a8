"""COCO's run lengths: of zeros and ones in turn, zeros first, column after column."""

import math
import re

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.data.coco.numerals import whole_number
from awsdet.data.coco.polygons import Bounds, kept_near

_BYTES_TEXT = re.compile(r"""b(['"])(.*)\1""", re.DOTALL)  # Python's way to print bytes
_NUMBERS_TEXT = re.compile(r"\s*\[?\s*\d+([\s,]+\d+)*\s*\]?\s*", re.ASCII)
_FEWEST_ROWS = 8
_LONGEST = 12  # characters of a number in compressed text: 60 bits


def read_counts(code, height, width, note):
    """Run lengths of an RLE dict for a mask of height x width; None if they do not fit it.

    note: called with the kind of what is wrong, or "mask_form" for an unusual form that was read.
    """
    size, counts = code.get("size"), code.get("counts")
    form = None
    if isinstance(counts, str | bytes | bytearray):
        counts, form = _read_text(counts, height * width)
    counts = [whole_number(count) for count in counts] if isinstance(counts, list | tuple) else [None]
    size = [whole_number(side) for side in size] if isinstance(size, list | tuple) else None
    if None in counts or min(counts, default=-1) < 0 or sum(counts) != height * width:
        note("rle_invalid", f"size {code.get('size')}, image {height} x {width}")
    elif size == [height, width]:
        if form:
            note("mask_form", form)
        return counts
    else:
        note("rle_turned" if size == [width, height] else "rle_invalid", f"size {size}, image {height} x {width}")
    return None


def _read_text(text, pixels):
    """(run lengths, form) from text of any kind; form: in words, None for COCO's own. `pixels`: the sum wanted."""
    form = None
    if not isinstance(text, str):
        text = bytes(text).decode("latin-1")
    printed = _BYTES_TEXT.fullmatch(text)
    if printed:
        text, form = printed[2].replace("\\\\", "\\"), "RLE printed as Python bytes"
    try:
        counts = decompress_counts(text)
    except ValueError:
        counts = []
    if sum(counts) != pixels and _NUMBERS_TEXT.fullmatch(text):
        return [whole_number(number) for number in re.findall(r"\d+", text)], "run lengths as text"
    return counts, form


def decompress_counts(text):
    """Run lengths from COCO's compressed text, which holds 5 bits per character, lowest bits first.

    From the third run on, the text gives each run as its difference from the run two places before it. Raises
    ValueError for an invalid character, a number of more than 60 bits, and a text that ends within a number.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{character!r} in a compressed RLE")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift >= 5 * _LONGEST:
                raise ValueError("a number of a compressed RLE has more than 60 bits")
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


def bitmap_counts(rows, height, width):
    """Run lengths of a mask that is given as `height` lists of `width` numbers, which are 0 and 1, or 0 and 255.

    None for anything else, and for images so small that it could be polygons.
    """
    if not isinstance(rows, list) or len(rows) != height or height < _FEWEST_ROWS:
        return None
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        return None
    try:
        values = {value for row in rows for value in row}
    except TypeError:  # lists or objects
        return None
    if not (values <= {0, 1} or values <= {0, 255}):
        return None
    return run_lengths(np.array(rows) > 0)


def run_bounds(counts, height):
    """The Bounds of a mask's pixels, from its run lengths; None if it has no pixel."""
    ends = np.cumsum(counts, dtype=np.int64)
    first, end = ends[:-1:2], ends[1::2]
    first, last = first[end > first], end[end > first] - 1
    if not len(first):
        return None
    (left, top), (right, bottom) = np.divmod(first, height), np.divmod(last, height)
    # A run that goes on in the next column has the last row of one and the first row of the other.
    whole = bool((left < right).any())
    top, bottom = (0, height - 1) if whole else (int(top.min()), int(bottom.max()))
    return Bounds(float(left[0]), float(top), float(right[-1] + 1), float(bottom + 1))


def merged_counts(polygons, codes, height, width):
    """Run lengths of the union of polygons and of masks given as run lengths, all of which must fit height x width."""
    parts = [coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width) for counts in codes]
    parts += coco_mask.frPyObjects(polygons, height, width) if polygons else []
    return decompress_counts(coco_mask.merge(parts)["counts"].decode())


def to_rle(segmentation, size):
    """A COCO segmentation (polygons, run lengths or compressed RLE) of an image of `size` (height, width), as RLE.

    Only what pycocotools can take gets there: it crashes on far numbers, and never ends on NaN or on runs that do not
    fit the image. Polygons are kept near the image; those that are none are left out. Raises ValueError for an RLE that
    does not fit the image.
    """
    height, width = (int(side) for side in size)
    if isinstance(segmentation, list):
        sound = [p for p in segmentation if len(p) >= 6 and len(p) % 2 == 0 and all(map(math.isfinite, p))]
        polygons = [near for near in (kept_near(polygon, height, width) for polygon in sound) if near]
        if polygons:
            return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        segmentation = {"size": [height, width], "counts": [height * width]}
    counts = segmentation["counts"]
    if not isinstance(counts, list):
        counts = decompress_counts(counts if isinstance(counts, str) else counts.decode("latin-1"))
    if list(segmentation["size"]) != [height, width] or min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise ValueError(
            f"run lengths of {list(segmentation['size'])} with the sum {sum(counts)} for an image of {[height, width]}"
        )
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
