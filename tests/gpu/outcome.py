"""What a part of the proof found out, as it goes into the JSON."""

import time
from typing import Any, NamedTuple

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class Outcome(NamedTuple):
    """The result of a part; every field is ready for JSON."""

    status: str  # passed, failed or skipped
    reason: str = ""  # one line; of a part that did not pass
    figures: Any = None  # what was measured
    failures: tuple = ()  # dicts, one per comparison that failed
    left_out: tuple = ()  # what the time or this GPU did not allow, each with the reason


def judged(figures, failures, left_out=()):
    """Judges a part that ran to its end: it passed if it checked something and nothing failed. Returns its Outcome."""
    if not failures and not figures and left_out:
        return Outcome(SKIPPED, left_out[0], figures, (), tuple(left_out))
    if not failures:
        return Outcome(PASSED, "", figures, (), tuple(left_out))
    first = failures[0]
    more = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
    reason = f"{first['name']}: {first['what']}{more}"
    return Outcome(FAILED, reason, figures, tuple(failures), tuple(left_out))


def unfinished(figures):
    """The Outcome that stands if the process of a part ends before the part does, with the figures until then."""
    return Outcome(FAILED, "its process ended before it did", figures)


def failure(name, what, **details):
    """An entry of `failures`: which comparison failed, in what, and the numbers."""
    return {"name": name, "what": what, **details}


_STACK = ("[[", "File ", "Detected at", "Graph execution error")  # beginnings of lines that tell where, not what
_COUNTS = ("root error(s) found", "derived errors ignored", "successful operations")


def error_text(error):
    """What a tf.errors.OpError says, in one line: the reason, not the stack that TensorFlow puts before it."""
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_STACK) and not any(words in line for words in _COUNTS)]
    said = [line for line in lines if "failed" in line or "rror" in line or "OOM" in line] or lines or ["no reason"]
    return f"{type(error).__name__}: {said[-1][:400]}"


class Clock:
    """The time that a part may take, in seconds from now on."""

    def __init__(self, seconds):
        self.limit = seconds
        self._end = time.monotonic() + seconds

    def over(self, needed=0.0):
        """Whether fewer than `needed` seconds are left."""
        return needed > self.left()

    def left(self):
        """The seconds that are left, negative if it is over."""
        return self._end - time.monotonic()
