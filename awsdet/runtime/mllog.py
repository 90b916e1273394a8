"""The lines of an MLPerf result, `:::MLLOG {json}`: how one is written and read.

They are those of the package mlperf-logging, whose checkers read them. Writing them needs no more than this file; the
package would bring pandas and SciPy to every machine that trains.
"""

import json
import os
import pathlib
import sys
import time
from typing import Any, NamedTuple

TOKEN = ":::MLLOG "
START, END, POINT = "INTERVAL_START", "INTERVAL_END", "POINT_IN_TIME"
_ROOT = pathlib.Path(__file__).parents[2]


class Event(NamedTuple):
    """One line. time_ms: since 1970."""

    key: str
    value: Any
    time_ms: float
    metadata: dict[str, Any]


def now_ms() -> int:
    """The present time, in ms since 1970."""
    return round(time.time() * 1000)


def append(
    path: str | os.PathLike,
    key: str,
    value: Any = None,
    kind: str = POINT,
    time_ms: int | None = None,
    **metadata: Any,
) -> None:
    """Appends one line to a file, which is made if it does not exist.

    Args:
        path: of the file. key, value: what the line says; the value is JSON-ready.
        kind: START, END or POINT. time_ms: when it was so; None: now.
        metadata: more about it. The caller's file and line are added: by these the package checker compares seeds.

    Raises OSError.
    """
    caller = sys._getframe(1)
    place = {"file": os.path.relpath(caller.f_code.co_filename, _ROOT), "lineno": caller.f_lineno}
    event = {
        "namespace": "",
        "time_ms": now_ms() if time_ms is None else time_ms,
        "event_type": kind,
        "key": key,
        "value": value,
        "metadata": {**place, **metadata},
    }
    with open(path, "a+b") as file:
        broken = file.tell() and _last_byte(file) != b"\n"  # a process that was killed left half a line
        file.write(f"{os.linesep if broken else ''}{TOKEN}{json.dumps(event)}\n".encode())


def read(path: str | os.PathLike) -> list[Event]:
    """The lines of a file that are whole; others, such as what a program printed, are passed over. Raises OSError."""
    events = []
    for line in pathlib.Path(path).read_text(encoding="latin-1").splitlines():
        _, token, text = line.rpartition(TOKEN)
        try:
            said = json.loads(text) if token else {}
            events.append(Event(said["key"], said["value"], float(said["time_ms"]), dict(said["metadata"])))
        except (ValueError, KeyError, TypeError):
            continue
    return events


def _last_byte(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1)
