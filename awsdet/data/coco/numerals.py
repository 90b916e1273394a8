"""Numbers as annotation files write them: JSON numbers, and sometimes text."""

import math
import re

NUMBERS = frozenset((int, float))  # by `type`, so that true and false are no numbers
_TEXT = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def finite_number(value, note):
    """A finite float from a number or from text such as "10.5"; None from anything else.

    note: called with the kind "number_text" if it is text.
    """
    if type(value) not in NUMBERS:
        if not isinstance(value, str) or not _TEXT.fullmatch(value):
            return None
        note("number_text", repr(value[:20]))
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def finite_numbers(values, note):
    """Finite floats from a list, each as `finite_number` reads it; None if `values` is anything else.

    note: called once if any of them is text.
    """
    if not isinstance(values, list | tuple):
        return None
    if NUMBERS.issuperset(map(type, values)):
        try:
            numbers = list(map(float, values))
        except OverflowError:
            return None
        # A number that is not finite makes the sum so.
        return numbers if math.isfinite(sum(numbers)) or all(map(math.isfinite, numbers)) else None
    seen = []
    numbers = [finite_number(value, lambda *found: seen.append(found)) for value in values]
    if None in numbers:
        return None
    note(*seen[0])
    return numbers


def whole_number(value):
    """An int from an int, a whole float or a string of digits; None from anything else."""
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value, re.ASCII) else None
