"""Fetches large files over several connections: each file is cut into segments, which are fetched side by side.

A finished segment lies beside the file under a hidden name. When all are there, they are put together in order: one is
appended, then removed. So the length of what is put together tells which segments are in it, whenever that was
interrupted, and no more room is needed than for one segment.
"""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Sequence

from absl import logging

from awsdet.runtime.fetching import PATIENCE, Cancelled, Patience, Wanted, fetch
from awsdet.runtime.files import flush
from awsdet.runtime.http_get import FetchFailed, NoRanges

SEGMENT = 512 * 2**20  # bytes


def fetch_all(
    files: Sequence[Wanted],
    connections: int,
    tell: Callable[[int], None],
    patience: Patience = PATIENCE,
    segment: int = SEGMENT,
) -> None:
    """Fetches files that are not there yet. What an earlier call had fetched of them is gone on with.

    Args:
        files: what to fetch; each has a size.
        connections: how many are open at the same time, over all files.
        tell: called with the bytes that are there so far, of all files.
        patience: of each connection.
        segment: bytes of a segment; a file of as many bytes at most is fetched as a whole.

    Raises FetchFailed after the first failure that no other attempt would mend (also if a file is not the right one),
    OSError if the disk refuses. What was fetched stays there.
    """
    stop, counter = threading.Event(), _Counter(tell)
    plans = [_Plan(file, segment) for file in files]
    pool = concurrent.futures.ThreadPoolExecutor(connections)
    for plan in plans:
        plan.count(counter)
    try:
        jobs = [pool.submit(plan.fetch, part, patience, stop, counter) for plan in plans for part in plan.missing()]
        done, _ = concurrent.futures.wait(jobs, return_when=concurrent.futures.FIRST_EXCEPTION)
        for job in done:
            job.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
    for plan in plans:
        plan.finish(patience, counter)


class _Counter:
    """Adds up the bytes that are there of many files, from many threads."""

    def __init__(self, tell):
        self._tell, self._lock, self._bytes = tell, threading.Lock(), {}

    def count(self, key, count):
        """`count` bytes of one of them are there."""
        with self._lock:
            self._bytes[key] = count
            self._tell(sum(self._bytes.values()))

    def meter(self, key):
        """The Meter of one of them; see `fetching`."""
        return lambda size: contextlib.nullcontext(functools.partial(self.count, key))


class _Plan:
    """The segments of one file."""

    def __init__(self, wanted, segment):
        self._wanted, self._segment = wanted, segment
        self._whole = wanted.size <= segment
        self._joined = self._beside("joined")
        self._refused = threading.Event()  # whether the server knows no ranges

    def missing(self):
        """The Wanted of each segment that is not there."""
        return [self._wanted] if self._whole else [part for part in self._parts() if not _is_whole(part)]

    def count(self, counter):
        """Counts what an earlier call has fetched in full."""
        if not self._whole:
            counter.count(self._joined, self._begin())
            for part in filter(_is_whole, self._parts()):
                counter.count(part.path, part.path.stat().st_size)

    def fetch(self, part, patience, stop, counter):
        """Fetches a segment. Does nothing more for a file of which the server sends no segments."""
        if self._refused.is_set() or stop.is_set():
            return
        try:
            with contextlib.suppress(Cancelled):  # what stopped it says more
                fetch(part, patience, stop.is_set, counter.meter(part.path))
        except NoRanges as error:
            if not self._refused.is_set():
                logging.info("%s: fetching it over one connection", error)
            self._refused.set()
        except BaseException:
            stop.set()  # at once, before another segment is begun
            raise

    def finish(self, patience, counter):
        """Puts the segments together and checks the file. Fetches it as a whole if there are none."""
        if self._whole:
            return
        if self._refused.is_set():
            self._drop()
            fetch(self._wanted, patience, meter=counter.meter(self._wanted.path))
            return
        logging.info("putting %s together", self._wanted.name)
        with self._joined.open("ab") as joined:
            for part in self._parts():
                joined.truncate(part.span[0])  # an interrupted call may have appended half of a segment
                with part.path.open("rb") as file:
                    shutil.copyfileobj(file, joined, 2**20)
                joined.flush()
                os.fsync(joined.fileno())
                part.path.unlink()
        problem = self._wanted.fault(self._joined)
        if problem:
            self._drop()
            raise FetchFailed(
                f"{self._wanted.url} gives another file: {problem}; it was removed, so the same command fetches it anew"
            )
        self._joined.replace(self._wanted.path)
        flush(self._wanted.path.parent)
        self._drop()  # a segment that was put in stays if the call ends before its removal

    def _begin(self):
        """How many bytes are put together already: those of whole segments."""
        length = self._joined.stat().st_size if self._joined.is_file() else 0
        return length if length == self._wanted.size else length - length % self._segment

    def _parts(self):
        """The Wanted of each segment that is not put together yet."""
        return [self._part(begin) for begin in range(self._begin(), self._wanted.size, self._segment)]

    def _part(self, begin):
        end = min(begin + self._segment, self._wanted.size)
        size = end - begin
        return self._wanted._replace(
            name=f"{self._wanted.name}, bytes {begin} to {end - 1}",
            path=self._beside(f"{begin // self._segment:04d}-{self._segment}"),
            fault=lambda path: "" if path.stat().st_size == size else f"{path.stat().st_size} bytes came, not {size}",
            span=(begin, end),
        )

    def _beside(self, suffix) -> pathlib.Path:
        return self._wanted.path.with_name(f".{self._wanted.path.name}.{suffix}")

    def _drop(self):
        self._joined.unlink(missing_ok=True)
        for path in self._wanted.path.parent.glob(f".*{self._wanted.path.name}.[0-9]*"):  # those begun, too
            path.unlink(missing_ok=True)


def _is_whole(part):
    begin, end = part.span
    return part.path.is_file() and part.path.stat().st_size == end - begin
