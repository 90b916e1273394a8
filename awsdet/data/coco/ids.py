"""The ids of images, categories and annotations, compared exactly.

An id is an integer of any size or a string that is not empty. A whole float below 2^53 is that integer; other floats,
true, false and null are no ids. Strings are compared as strings: "007", "7" and "7 " are three ids. Two ids are the
same only if they are equal, with one exception: an annotation whose id does not occur means the id that reads as the
same whole number (7 and "7", 7 and "007"), if the file has only one such id and the annotations spell it in one way.

Records and batches hold ids as int64 numbers. An id that is none gets a number that is not used otherwise.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

Id = int | str

_EXACT = 2**53  # floats from here on stand for several integers
_DIGITS = re.compile(r"-?[0-9]{1,4000}")  # Python converts no more than 4300


def read_id(value) -> Id | None:
    """The id that a JSON value stands for; None if it is no id."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if abs(value) < _EXACT and value == int(value) else None  # NaN is not below
    return value if isinstance(value, str) and value else None


def in_order(ids: Iterable[Id]) -> list[Id]:
    """Sorted: integers and strings of digits by their value, then the other strings by their characters."""
    return sorted(ids, key=rank)


def rank(one: Id) -> tuple:
    """The key by which ids of both types are sorted."""
    number = _as_number(one)
    return (1, 0, 0, one) if number is None else (0, number, isinstance(one, str), str(one))


def _as_number(one):
    """The whole number that an id reads as, or None."""
    if isinstance(one, int):
        return one
    return int(one) if _DIGITS.fullmatch(one) else None


def numbered(ids: Iterable[Id]) -> dict[Id, int]:
    """An int64 number for each of several different ids: itself if it is one, else one that no other has."""
    ids = list(ids)
    fresh = unused({one for one in ids if is_int64(one)}, len(ids))
    return {one: one if is_int64(one) else next(fresh) for one in ids}


def unused(used: set[int], count: int) -> Iterator[int]:
    """Yields `count` or more int64 numbers that are not in `used`: those after the largest if there are enough."""
    last = max(used, default=0)
    if is_int64(last + count):
        return itertools.count(max(last, 0) + 1)
    return (number for number in itertools.count(1) if number not in used)


def is_int64(one: Id) -> bool:
    """Whether an id is an integer of 64 bits."""
    return isinstance(one, int) and -(2**63) <= one < 2**63


class Lookup:
    """Finds, for the ids that annotations refer to, the ids that a file lists.

    listed: the ids of the images or categories; references: all values by which annotations refer to them.
    """

    def __init__(self, listed: Iterable[Id], references: Iterable):
        self._listed = set(listed)
        self._alike = {}
        spellings = {}
        for one in self._listed:
            self._alike.setdefault(_as_number(one), set()).add(one)
        for one in {read_id(value) for value in references} - self._listed - {None}:
            spellings.setdefault(_as_number(one), set()).add(one)
        self._one_spelling = {number for number, found in spellings.items() if len(found) == 1}

    def find(self, value) -> tuple[Id | None, bool]:
        """(the listed id that a JSON value means, whether the two are equal); (None, False) if there is none."""
        one = read_id(value)
        if one is None or one in self._listed:
            return one, one is not None
        number = _as_number(one)
        alike = self._alike.get(number, ())
        if number is None or len(alike) != 1 or number not in self._one_spelling:
            return None, False
        return next(iter(alike)), False
