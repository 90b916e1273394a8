"""Compares two results that should be equal: arrays of the same call on two devices."""

from typing import NamedTuple

import numpy as np

from tests.gpu.outcome import failure


class Tolerance(NamedTuple):
    """How far two numbers may lie apart: `of_largest` * the largest number in the array + `of_own` * the own one.

    Zeros: no bit may differ, but for the bits of NaN.
    """

    of_largest: float = 0.0
    of_own: float = 0.0


EXACT = Tolerance()


def compare(name, ours, theirs, tolerance=EXACT):
    """Compares two arrays, number by number. Returns (figures, failure): figures is a dict, failure None if they agree.

    Integers and bools must be equal, whatever the tolerance. NaN equals NaN only; an infinity equals itself only.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        what = f"{ours.dtype.name} {list(ours.shape)} instead of {theirs.dtype.name} {list(theirs.shape)}"
        return {}, failure(name, what)
    # Nearly all numbers are equal, so only the others are looked at.
    unlike = np.flatnonzero(ours != theirs)
    mine, other = ours.flat[unlike], theirs.flat[unlike]
    figures = {"numbers": int(theirs.size), "different": 0}
    if unlike.size == 0:
        return figures, None
    real = not np.issubdtype(theirs.dtype, np.integer) and theirs.dtype != bool
    largest = _largest(theirs) if real else 0.0
    mine, other = mine.astype(np.float64), other.astype(np.float64)
    same = np.isnan(mine) & np.isnan(other)
    with np.errstate(invalid="ignore"):
        off = np.abs(mine - other)
        allowed = tolerance.of_largest * largest + tolerance.of_own * np.abs(other) if real else 0.0
        wrong = ~same & ~(np.isfinite(other) & (off <= allowed))
    figures["different"] = int(np.sum(~same))
    off = np.where(np.isfinite(off), off, np.where(same, 0.0, np.inf))
    if largest:
        figures["worst_of_largest"] = float(min(off.max() / largest, np.finfo(np.float32).max))
    if not wrong.any():
        return figures, None
    worst = np.argmax(np.where(wrong, off, -1.0))
    place = tuple(int(i) for i in np.unravel_index(unlike[worst], theirs.shape))
    what = f"{wrong.sum()} of {theirs.size} numbers differ, at {list(place)} {ours[place]} instead of {theirs[place]}"
    allowed = {"of_largest": tolerance.of_largest, "of_own": tolerance.of_own}
    return figures, failure(name, what, tolerance=allowed, **figures)


def _largest(array):
    """The largest finite number of an array, by amount."""
    array = np.abs(array.astype(np.float32) if array.dtype.itemsize < 4 else array)
    most = array.max(initial=0)
    return float(most if np.isfinite(most) else array[np.isfinite(array)].max(initial=0))
