"""Progress of long work: a bar on a terminal, otherwise a log line every so often."""

import sys
import time

from absl import logging

_BAR_SECONDS = 0.2
_LINE_SECONDS = 30.0


class Progress:
    """Counts finished items: `with Progress(5000, "evaluating", "images") as progress: … progress.add(2)`.

    Args:
      total: how many items there are.
      what: what is being done, the start of the line.
      unit: what is counted.
      enabled: False says nothing at all (ranks other than 0).
    """

    def __init__(self, total, what, unit="items", enabled=True):
        self._total, self._what, self._unit, self._enabled = total, what, unit, enabled
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._bar = enabled and sys.stderr.isatty()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar:
            self._draw()
            sys.stderr.write("\n")

    def add(self, count=1):
        """Says that `count` more items are done."""
        self._done += count
        now = time.monotonic()
        if not self._enabled or now - self._shown < (_BAR_SECONDS if self._bar else _LINE_SECONDS):
            return
        self._shown = now
        if self._bar:
            self._draw()
        else:
            logging.info("%s", self._line())

    def _line(self):
        seconds = max(time.monotonic() - self._start, 1e-9)
        left = seconds / self._done * (self._total - self._done) if self._done else 0.0
        rate = self._done / seconds
        return (
            f"{self._what}: {self._done}/{self._total} {self._unit}, {rate:.3g}/s, "
            f"{clock(seconds)} gone, {clock(max(left, 0))} left"
        )

    def _draw(self):
        filled = round(20 * min(1, self._done / max(self._total, 1)))
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (20 - filled)}] {self._line()}\x1b[K")
        sys.stderr.flush()


def clock(seconds: float) -> str:
    """A length of time as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
