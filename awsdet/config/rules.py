"""`optimizer.rules`: factors of the learning rate and of the weight decay for variables whose names match a pattern.

A text, so that a command line can hold it: rules separated by commas, each a pattern and one or two factors, as in
"*.bias rate=2 decay=0, backbone.* rate=0.1".
"""

import dataclasses
import math
import re
from typing import Any, NamedTuple

from awsdet.config.kinds import Text

_WORDS = "rules, as in '*.gamma decay=0, backbone.* rate=0.1'"


class Rule(NamedTuple):
    """Factors for the variables that `pattern` matches.

    Attributes:
        pattern: of a name, as in the list of `fnmatch`: * is any text, ? a character, [12] one of these.
        rate, decay: factors of the learning rate and of the weight decay; None: the rule leaves it as it is.
    """

    pattern: str
    rate: float | None
    decay: float | None

    def __str__(self):
        factors = (("rate", self.rate), ("decay", self.decay))
        return " ".join([self.pattern, *(f"{name}={value:g}" for name, value in factors if value is not None)])


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in a text; none if it is empty. Raises ValueError, in words that name the rule that is none."""
    return tuple(_rule(part.strip()) for part in text.split(",")) if text.strip() else ()


def _rule(text):
    pattern, *factors = text.split() or [""]
    if not pattern or "=" in pattern:
        raise ValueError(f"{text!r} has no pattern")
    if not factors:
        raise ValueError(f"{text!r} has no factor")
    found = {}
    for factor in factors:
        parts = re.fullmatch(r"(rate|decay)=(\S+)", factor)
        if not parts:
            raise ValueError(f"{factor!r} in {text!r} is neither rate=NUMBER nor decay=NUMBER")
        if parts[1] in found:
            raise ValueError(f"{text!r} has two factors {parts[1]}")
        found[parts[1]] = _number(parts[2], text)
    return Rule(pattern, found.get("rate"), found.get("decay"))


def _number(text, rule):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e30:
        raise ValueError(f"{text!r} in {rule!r} is not a finite number, 0 or more")
    return value


@dataclasses.dataclass(frozen=True)
class Rules(Text):
    """A text that `parse` understands."""

    words: str = _WORDS

    def fault(self, value: Any) -> str:
        """See the first lines of `kinds`."""
        if not isinstance(value, str):
            return self.words
        try:
            parse(value)
        except ValueError as error:
            return f"{self.words}, but {error}"
        return ""
