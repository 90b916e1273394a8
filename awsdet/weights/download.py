"""Fetches a file over HTTP: goes on where an earlier attempt was cut, and never shows half a file.

A part lies beside the file, with what the server said about it. It is gone on with only if the server still has the
same file, by its ETag or Last-Modified and size.
"""

import email.message
import errno
import http.client
import json
import os
import pathlib
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import flush, write_json
from awsdet.runtime.progress import Progress
from awsdet.weights import cache as cached
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import Entry

LARGEST = 8 * 2**30  # bytes
_BLOCK = 2**18
_MARGIN = 16 * 2**20  # bytes that must stay free on the disk
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers after which another attempt may succeed


class Patience(NamedTuple):
    """seconds: how long the server may be silent. attempts: how often in a row nothing may come.

    pause: seconds before the second attempt, doubled each time.
    """

    seconds: float = 30.0
    attempts: int = 4
    pause: float = 1.0


PATIENCE = Patience()


class Cancelled(Exception):
    """The caller does not need the file any more."""


class _Again(Exception):
    """The attempt failed, but another one may succeed. The text says why."""


class _Stale(_Again):
    """The server has no such part of the file."""


class _Final(Exception):
    """No other attempt would succeed. The text says why."""


def fetch(
    entry: Entry, cache: Cache, patience: Patience = PATIENCE, cancelled: Callable[[], bool] = lambda: False
) -> pathlib.Path:
    """The path of an entry's file in the cache, which is fetched if it is not there.

    Raises UserError, whose text says how to get the file by hand. Raises Cancelled soon after `cancelled()` is true.
    """
    path = cache.path(entry)
    try:
        if not cache.holds(entry):
            cache.folder.mkdir(parents=True, exist_ok=True)
            with cached.locked(path):
                if not cache.holds(entry):
                    _Download(entry, cache, patience, cancelled).run()
    except OSError as error:
        raise UserError(_by_hand(f"cannot write {error.filename or path} ({error.strerror})", entry, cache)) from error
    except _Final as error:
        raise UserError(_by_hand(str(error), entry, cache)) from error
    return cached.verified(cache, entry)


def probe(entry: Entry, cache: Cache, patience: Patience = PATIENCE) -> int | None:
    """The bytes of an entry's file that is not in the cache, or None if the server does not say.

    Raises UserError if it cannot be fetched. Fetches one byte at most.
    """
    url = address(entry, cache)
    try:
        with _open(url, {"Range": "bytes=0-0"}, patience.seconds) as answer:
            said = "Content-Range" if answer.status == 206 else "Content-Length"
            size = answer.headers.get(said, "").rpartition("/")[2]
            return int(size) if size.isdecimal() else entry.size
    except (_Again, _Final) as error:
        raise UserError(_by_hand(str(error), entry, cache)) from error


def address(entry: Entry, cache: Cache) -> str:
    """Where an entry's file is fetched from. Raises UserError if the mirror is not an http or https URL."""
    if not cache.mirror:
        return entry.address
    parts = urllib.parse.urlsplit(cache.mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UserError(f"{cached.MIRROR}={cache.mirror} is no URL like https://mirror.example")
    if "@" in parts.netloc:
        raise UserError(f"{cached.MIRROR} holds a user name, which would show in logs; use a mirror that needs none")
    return cache.mirror + urllib.parse.urlsplit(entry.address).path


def _by_hand(reason, entry, cache):
    return (
        f"cannot fetch the weights {entry.name}: {reason}; by hand: fetch {address(entry, cache)} on a machine that "
        f"can, and put the file at {cache.path(entry)} (another folder: {cached.FOLDER}, a mirror: {cached.MIRROR})"
    )


class _Download:
    def __init__(self, entry, cache, patience, cancelled):
        self._entry, self._cache, self._patience, self._cancelled = entry, cache, patience, cancelled
        self._url = address(entry, cache)
        path = cache.path(entry)
        self._path = path
        self._joined = False  # whether the part is put together of several answers
        self._part, self._facts = (path.with_name(f".{path.name}.part{suffix}") for suffix in ("", ".json"))

    def run(self):
        """Fetches the file. Raises _Final, Cancelled or OSError."""
        self._try()
        problem = cached.fault(self._part, self._entry)
        if problem and self._joined:
            logging.warning("%s was put together of several parts, and %s: fetching it anew", self._path, problem)
            self._drop()
            self._try()
            problem = cached.fault(self._part, self._entry)
        if problem:
            self._drop()
            raise _Final(f"{self._url} gives another file: {problem}")
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
            except _Again as error:
                failures = 1 if self._length() > before else failures + 1
                if failures >= self._patience.attempts:
                    raise _Final(str(error)) from error
                logging.info("%s: %s; trying again", self._entry.name, error)
                self._sleep(self._patience.pause * 2 ** (failures - 1))

    def _attempt(self):
        begun, headers = self._begun(), {}
        start = self._length() if begun is not None else 0
        if begun is not None and start == begun["size"]:
            self._joined = True  # an earlier process may have put it together
            return
        if begun is not None and start:
            headers = {"Range": f"bytes={start}-", "If-Range": begun["validator"]}
        try:
            answer = _open(self._url, headers, self._patience.seconds)
        except _Stale:
            self._drop()
            raise
        with answer:
            start, size = self._first(answer, start if headers else 0, begun)
            self._check_room(size, start)
            self._take(answer, start, size)

    def _first(self, answer, asked, begun):
        """(index of the first byte that comes, bytes of the whole file or None). Notes what the server said."""
        size = answer.headers.get("Content-Length")
        size = int(size) if size and size.isdecimal() else None
        if answer.status == 206:
            span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", ""))
            whole = int(span[3]) if span else None
            if not (asked and span and int(span[1]) == asked and whole == begun["size"]) or (
                _validator(answer.headers) not in ("", begun["validator"])
            ):
                self._drop()
                raise _Again("the file changed on the server while it was fetched")
            self._joined = True
            return asked, whole
        self._joined = False
        self._drop()  # the server sends all of it: it knows no parts, or has another file by now
        if asked:
            logging.info("%s: the server sends the whole file anew", self._entry.name)
        if self._entry.size is not None and size is not None and size != self._entry.size:
            raise _Final(f"{self._url} has {size} bytes, not {self._entry.size}")
        validator = _validator(answer.headers)
        if validator and size is not None:
            write_json(self._facts, {"url": self._url, "validator": validator, "size": size})
        return 0, size

    def _take(self, answer, start, size):
        done = start
        with Progress((size or 0) // 10**6, f"fetching {self._entry.name}", "MB") as progress:
            progress.add(done // 10**6)
            with self._part.open("ab" if start else "wb") as file:
                while True:
                    self._check_cancelled()
                    try:
                        block = answer.read1(_BLOCK)
                    except (OSError, http.client.HTTPException) as error:
                        raise _Again(_reason(error)) from error
                    if not block:
                        break
                    self._write(file, block)
                    progress.add((done + len(block)) // 10**6 - done // 10**6)
                    done += len(block)
                    if done > (LARGEST if size is None else size):
                        self._drop()
                        raise _Final(f"{self._url} sends more than {LARGEST if size is None else size} bytes")
        if size is not None and done < size:
            raise _Again(f"the connection ended after {done} of {size} bytes")

    def _write(self, file, block):
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self._drop()
            raise _Final(f"no space is left in {self._path.parent}") from error

    def _check_room(self, size, start):
        if size is not None and size > LARGEST:
            raise _Final(f"{self._url} has {size} bytes; more than {LARGEST} are not fetched")
        free = shutil.disk_usage(self._path.parent).free
        needed = (size or 0) - start
        if needed + _MARGIN > free:
            raise _Final(
                f"it needs {needed / 1e6:.0f} MB, and {self._path.parent} has {free / 1e6:.0f} MB left, of which "
                f"{_MARGIN / 1e6:.0f} stay free"
            )

    def _begun(self):
        """What the server said about the part; None if there is no part that can be gone on with."""
        try:
            facts = json.loads(self._facts.read_text())
            usable = facts["url"] == self._url and self._part.is_file() and self._length() <= facts["size"]
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


def _validator(headers: email.message.Message) -> str:
    """By which a server tells whether it still has the same file; empty if it says nothing firm."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def _open(url, headers, seconds):
    """The answer of the server: 200 or 206. Raises _Again or _Final."""
    headers = {"User-Agent": "awsdet", "Accept-Encoding": "identity", **headers}
    opener = urllib.request.build_opener(_Redirects(url))
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=seconds)
    except urllib.error.HTTPError as error:
        error.close()
        kind = _Again if error.code in _PASSING else _Final
        if error.code == 416 and "Range" in headers:
            kind = _Stale
        raise kind(f"{url} answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Again(f"{urllib.parse.urlsplit(url).netloc} cannot be reached ({_reason(error)})") from error
    if answer.headers.get("Content-Encoding", "identity") != "identity" or answer.status not in (200, 206):
        answer.close()
        raise _Final(f"{url} answers in a way that is not understood (code {answer.status})")
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https only, and to the server of a plain http mirror that the user named."""

    def __init__(self, url):
        self._own = urllib.parse.urlsplit(url)[:2]

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request to follow, or _Final."""
        parts = urllib.parse.urlsplit(newurl)
        if parts.scheme != "https" and parts[:2] != self._own:
            raise _Final(f"{req.full_url} leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error):
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError) and reason.errno:
        return os.strerror(reason.errno) if reason.errno > 0 else str(reason.strerror or reason)
    return " ".join(str(reason).split()) or type(reason).__name__
