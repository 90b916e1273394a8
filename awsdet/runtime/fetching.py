"""Fetches a file over HTTP: goes on where an earlier attempt was cut, and never shows half a file.

A part lies beside the file, with what the server said about it. It is gone on with only if the server still has the
same file, by its ETag or Last-Modified and size.
"""

import contextlib
import errno
import http.client
import json
import pathlib
import re
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from absl import logging

from awsdet.runtime.files import flush, write_json
from awsdet.runtime.http_get import Again, FetchFailed, NoRanges, Stale, open_url, reason_of, validator
from awsdet.runtime.progress import Progress

LARGEST = 8 * 2**30  # bytes
_BLOCK = 2**18
_MARGIN = 16 * 2**20  # bytes that must stay free on the disk


class Patience(NamedTuple):
    """seconds: how long the server may be silent. attempts: how often in a row nothing may come.

    pause: seconds before the second attempt, doubled each time.
    """

    seconds: float = 30.0
    attempts: int = 4
    pause: float = 1.0


PATIENCE = Patience()


class Wanted(NamedTuple):
    """A file to fetch.

    Attributes:
        name: what it is called in lines and progress.
        url: its http or https address.
        path: where to put it; the folder exists.
        fault: function of the path of the whole file: what is wrong with it; empty if nothing is.
        size: bytes; None if unknown.
        largest: bytes; a larger file is not fetched.
        span: (first byte, byte after the last) of the part of the file to fetch; None: all of it. It needs a size.
    """

    name: str
    url: str
    path: pathlib.Path
    fault: Callable[[pathlib.Path], str]
    size: int | None = None
    largest: int = LARGEST
    span: tuple[int, int] | None = None


# From the bytes of a file (None: unknown) to a context, whose value is called with the bytes that are there so far.
Meter = Callable[[int | None], contextlib.AbstractContextManager[Callable[[int], None]]]


class Cancelled(Exception):
    """The caller does not need the file any more."""


def fetch(
    wanted: Wanted,
    patience: Patience = PATIENCE,
    cancelled: Callable[[], bool] = lambda: False,
    meter: Meter | None = None,
) -> None:
    """Fetches a file that is not there yet. One process at a time may do so for each path.

    Raises FetchFailed, NoRanges if only a part was wanted and the server knows no parts, OSError if the disk refuses,
    and Cancelled soon after `cancelled()` is true.
    """
    _Download(wanted, patience, cancelled, meter or _megabytes(wanted.name)).run()


def _megabytes(name):
    @contextlib.contextmanager
    def metered(size):
        shown = 0
        with Progress((size or 0) // 10**6, f"fetching {name}", "MB") as progress:

            def tell(done):
                nonlocal shown
                progress.add(done // 10**6 - shown)
                shown = done // 10**6

            yield tell

    return metered


class _Download:
    def __init__(self, wanted, patience, cancelled, meter):
        self._wanted, self._patience, self._cancelled, self._meter = wanted, patience, cancelled, meter
        self._url, self._path = wanted.url, wanted.path
        self._begin = wanted.span[0] if wanted.span else 0  # of what is wanted, in the file of the server
        self._joined = False  # whether the part is put together of several answers
        self._part, self._facts = (self._path.with_name(f".{self._path.name}.part{suffix}") for suffix in ("", ".json"))

    def run(self):
        """Fetches the file. Raises FetchFailed, Cancelled or OSError."""
        self._try()
        problem = self._wanted.fault(self._part)
        if problem and self._joined:
            logging.warning("%s was put together of several parts, and %s: fetching it anew", self._path, problem)
            self._drop()
            self._try()
            problem = self._wanted.fault(self._part)
        if problem:
            self._drop()
            raise FetchFailed(f"{self._url} gives another file: {problem}")
        flush(self._part)
        self._part.replace(self._path)
        flush(self._path.parent)
        self._facts.unlink(missing_ok=True)

    def _try(self):
        """Attempts until the part is whole. An attempt that brought something does not count as failed."""
        failures = 0
        while True:
            before = self._length()
            try:
                return self._attempt()
            except Again as error:
                failures = 1 if self._length() > before else failures + 1
                if failures >= self._patience.attempts:
                    raise FetchFailed(str(error)) from error
                logging.info("%s: %s; trying again", self._wanted.name, error)
                self._sleep(self._patience.pause * 2 ** (failures - 1))

    def _attempt(self):
        begun = self._begun()
        start = self._length() if begun is not None else 0
        if begun is not None and start == self._wanted_length(begun["size"]):
            self._joined = True  # an earlier process may have put it together
            return
        headers = {}
        if start or self._wanted.span:
            last = self._wanted.span[1] - 1 if self._wanted.span else ""
            headers["Range"] = f"bytes={self._begin + start}-{last}"
        if start:
            headers["If-Range"] = begun["validator"]
        try:
            answer = open_url(self._url, headers, self._patience.seconds)
        except Stale:
            self._drop()
            raise
        with answer:
            start, size = self._first(answer, start, begun)
            self._check_room(size, start)
            self._take(answer, start, size)

    def _wanted_length(self, whole):
        """Bytes of what is wanted of a file of `whole` bytes."""
        return self._wanted.span[1] - self._begin if self._wanted.span else whole

    def _first(self, answer, start, begun):
        """(index of the first byte that comes, bytes of all that is wanted or None). Notes what the server said.

        start: the index that was asked for, 0 also if nothing was.
        """
        if answer.status == 206:
            return self._first_of_part(answer, start, begun)
        size = answer.headers.get("Content-Length")
        size = int(size) if size and size.isdecimal() else None
        self._joined = False
        self._drop()  # the server sends all of it: it knows no parts, or has another file by now
        if self._wanted.span:
            if start:
                raise Again("the file changed on the server while it was fetched")
            raise NoRanges(f"{self._url} can only be fetched as a whole")
        if start:
            logging.info("%s: the server sends the whole file anew", self._wanted.name)
        self._check_size(size)
        self._note(answer, size)
        return 0, size

    def _first_of_part(self, answer, start, begun):
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
        whole = int(span[3]) if span else None
        asked = bool(start or self._wanted.span)
        if start:
            asked = whole == begun["size"] and validator(answer.headers) in ("", begun["validator"])
        if not (asked and span and int(span[1]) == self._begin + start):
            self._drop()
            raise Again("the file changed on the server while it was fetched")
        self._check_size(whole)
        if start:
            self._joined = True
        else:
            self._drop()
            self._note(answer, whole)
        return start, self._wanted_length(whole)

    def _check_size(self, size):
        if self._wanted.size is not None and size is not None and size != self._wanted.size:
            self._drop()
            raise FetchFailed(f"{self._url} has {size} bytes, not {self._wanted.size}")

    def _note(self, answer, size):
        said = validator(answer.headers)
        if said and size is not None:
            write_json(self._facts, {"url": self._url, "validator": said, "size": size})

    def _take(self, answer, start, size):
        done = start
        with self._meter(size) as tell:
            tell(done)
            with self._part.open("ab" if start else "wb") as file:
                while True:
                    self._check_cancelled()
                    try:
                        block = answer.read1(_BLOCK)
                    except (OSError, http.client.HTTPException) as error:
                        raise Again(reason_of(error)) from error
                    if not block:
                        break
                    self._write(file, block)
                    done += len(block)
                    tell(done)
                    if done > (self._wanted.largest if size is None else size):
                        self._drop()
                        most = self._wanted.largest if size is None else size
                        raise FetchFailed(f"{self._url} sends more than {most} bytes")
        if size is not None and done < size:
            raise Again(f"the connection ended after {done} of {size} bytes")

    def _write(self, file, block):
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._drop()
            raise FetchFailed(f"no space is left in {self._path.parent}") from error

    def _check_room(self, size, start):
        if size is not None and size > self._wanted.largest:
            raise FetchFailed(f"{self._url} has {size} bytes; more than {self._wanted.largest} are not fetched")
        free = shutil.disk_usage(self._path.parent).free
        needed = (size or 0) - start
        if needed + _MARGIN > free:
            raise FetchFailed(
                f"it needs {needed / 1e6:.0f} MB, and {self._path.parent} has {free / 1e6:.0f} MB left, of which "
                f"{_MARGIN / 1e6:.0f} stay free"
            )

    def _begun(self):
        """What the server said about the part; None if there is no part that can be gone on with."""
        try:
            facts = json.loads(self._facts.read_text())
            usable = facts["url"] == self._url and self._part.is_file()
            usable = usable and self._length() <= self._wanted_length(facts["size"])
            return facts if usable and isinstance(facts["validator"], str) else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _length(self):
        return self._part.stat().st_size if self._part.is_file() else 0

    def _drop(self):
        self._part.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)

    def _sleep(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check_cancelled()
            time.sleep(min(0.5, left))

    def _check_cancelled(self):
        if self._cancelled():
            raise Cancelled
