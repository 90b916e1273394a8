"""Progress of long work: tqdm's bar on a terminal, a line in the log every 30 seconds elsewhere."""

import shutil
import sys
import time

from absl import logging
from tqdm import tqdm

_LINE_SECONDS = 30.0


class Progress:
    """Counts finished items: `with Progress(5000, "evaluating", "images") as progress: … progress.add(2)`.

    Args:
        total: how many items there are.
        what: what is being done; the line starts with it.
        unit: what is counted.
        enabled: False shows nothing at all (on ranks other than 0).
    """

    def __init__(self, total: int, what: str, unit: str = "items", enabled: bool = True):
        on_terminal = sys.stderr.isatty()
        # By itself tqdm draws nothing on a terminal that does not know its size; get_terminal_size takes 80 x 24 then.
        columns, rows = shutil.get_terminal_size()
        size = {"ncols": columns, "nrows": rows}
        self._bar = _Bar(total=total, desc=what, unit=f" {unit}", disable=not (enabled and on_terminal), **size)
        self._logs = enabled and not on_terminal
        self._facts = {"total": total, "prefix": what, "unit": f" {unit}"}
        self._done, self._start = 0, time.monotonic()
        self._logged = self._start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def add(self, count: int = 1) -> None:
        """Counts `count` more items as done."""
        self._done += count
        self._bar.update(count)
        now = time.monotonic()
        if self._logs and now - self._logged >= _LINE_SECONDS:
            self._logged = now
            logging.info("%s", tqdm.format_meter(self._done, elapsed=now - self._start, ncols=0, **self._facts))


class _Bar(tqdm):
    monitor_interval = 0  # otherwise tqdm starts a thread, to redraw bars that are rarely updated


def clock(seconds: float) -> str:
    """A length of time as mm:ss or h:mm:ss."""
    return tqdm.format_interval(seconds)
