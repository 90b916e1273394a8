"""The kinds of values that a setting may have, each with its limits and with words for them.

`fault(value)` of a kind is "" for a value that is allowed, and otherwise what it must be, in words that follow "it must
be". Numbers are finite, and judged as the float32 that they become.
"""

import dataclasses
import math
import numbers
import struct
from collections.abc import Callable
from typing import Any

_MOST = 2**31 - 1  # operators keep whole numbers in 32 bits


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole number from `least` to `most`, and a multiple of `multiple`; hint: follows the words."""

    least: int = 0
    most: int = _MOST
    multiple: int = 1
    hint: str = ""

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if is_whole and self.least <= value <= self.most and value % self.multiple == 0:
            return ""
        if self.multiple > 1:
            return f"a multiple of {self.multiple} between {self.least} and {self.most}{self.hint}"
        limits = f"{self.least} or more" if self.most == _MOST else f"between {self.least} and {self.most}"
        if is_whole and self.most == _MOST and value > self.most:
            limits = f"at most {self.most}"
        return f"{limits}{self.hint}" if is_whole else f"a whole number, {limits}{self.hint}"


@dataclasses.dataclass(frozen=True)
class Number:
    """A number from `least` to `most`; above, below: whether the ends themselves are excluded; hint: as for Whole."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    hint: str = ""

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if is_number and self._allows(_as_float32(value)):
            return ""
        limits = self._limits()
        if is_number and math.isfinite(_as_float32(value)):
            return f"{limits}{self.hint}"
        return f"a finite number{', ' if limits else ''}{limits}{self.hint}"

    def _allows(self, value):
        low = value > self.least if self.above else value >= self.least
        return math.isfinite(value) and low and (value < self.most if self.below else value <= self.most)

    def _limits(self):
        least, most = f"{self.least:g}", f"{self.most:g}"
        if math.isfinite(self.least) and math.isfinite(self.most) and not (self.above or self.below):
            return f"between {least} and {most}"
        parts = []
        if math.isfinite(self.least):
            parts.append(f"above {least}" if self.above else f"{least} or more")
        if math.isfinite(self.most):
            parts.append(f"below {most}" if self.below else f"at most {most}")
        return " and ".join(parts)


@dataclasses.dataclass(frozen=True)
class Switch:
    """True or False."""

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        return "" if isinstance(value, bool) else "True or False"


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of `values`; why_not: of other values, the reason, which follows the words."""

    values: tuple
    why_not: tuple = ()  # pairs

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        if any(type(value) is type(known) and value == known for known in self.values):
            return ""
        reason = "".join(reason for other, reason in self.why_not if other == value)
        if len(self.values) == 2:
            return f"{self.values[0]} or {self.values[1]}{reason}"
        return f"one of {', '.join(map(str, self.values))}{reason}"


@dataclasses.dataclass(frozen=True)
class Name:
    """The name of a part (docs/extending.md). Which parts there are is known only where they are made."""

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        return "" if isinstance(value, str) and value.isidentifier() else "the name of a part, as in docs/extending.md"


@dataclasses.dataclass(frozen=True)
class Text:
    """A text; words: what it must be, if it does not `fit`."""

    words: str = "a text"
    fits: Callable[[str], Any] = lambda text: True

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        return "" if isinstance(value, str) and self.fits(value) else self.words


@dataclasses.dataclass(frozen=True)
class Items:
    """A tuple of values of one kind.

    count: how many; None: any number from `least` on. rising: each is more than the one before. words: what the whole
    must be; empty: made of the others. fits: what else a tuple of such values must fulfil; it needs words.
    """

    each: Any
    count: int | None = None
    least: int = 1
    rising: bool = False
    words: str = ""
    fits: Callable[[tuple], Any] = lambda values: True

    def fault(self, value: Any) -> str:
        """See the first lines of the file."""
        if not isinstance(value, tuple) or not self._has_length(value):
            return self.words or self._lengths()
        if any(map(self.each.fault, value)):
            return self.words or self._lengths()
        if self.rising and any(first >= second for first, second in zip(value, value[1:])):
            return self.words or f"{self._lengths()}, and each more than the one before"
        return "" if self.fits(value) else self.words

    def _has_length(self, value):
        return len(value) >= self.least if self.count is None else len(value) == self.count

    def _lengths(self):
        count = self.count if self.count is not None else f"{self.least} or more"
        return f"a tuple of {count} values, each {self.each.fault(None)}"  # None is never allowed


def _as_float32(value):
    """As a Python float; infinite if float32 cannot hold it."""
    try:
        return struct.unpack("f", struct.pack("f", float(value)))[0]
    except OverflowError:
        return math.inf
