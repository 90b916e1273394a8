"""CUDA's cache of the kernels that its driver has compiled: whether it can keep them, and what it has been given.

    <CUDA_CACHE_PATH or ~/.nv/ComputeCache>/
        index, 0/, 1/, …               CUDA's own
        awsdet-compiled-<digest>.json  a mark: what work was compiled, and how much the cache held then
        awsdet-compiling.lock          held by the process that compiles; in it, why the last one failed

Marks lie in the cache itself, so they are gone with it if somebody deletes it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from awsdet.runtime import files
from awsdet.runtime.gpu_fit import CACHE_BYTES

_LEAST_ROOM = 2**30  # bytes that CUDA must be able to keep at least; TensorFlow's kernels need more than this
_KEPT = 0.9  # a mark counts while the cache holds this share of what it held then: CUDA drops what is used least
_MARK, _LOCK = "awsdet-compiled-", "awsdet-compiling.lock"


class Unusable(Exception):
    """CUDA cannot keep what it compiles here. The text says why, and what to do."""


class ComputeCache:
    """The cache of this user on this machine. Attributes: folder, its path."""

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "ComputeCache":
        """The cache that CUDA uses in this environment. Its folder is made if there is none. Raises Unusable."""
        if environment.get("CUDA_CACHE_DISABLE", "0") not in ("", "0"):
            raise Unusable("CUDA_CACHE_DISABLE is set, so nothing that is compiled is kept; unset it")
        path, home = environment.get("CUDA_CACHE_PATH"), environment.get("HOME")
        if not path and not home:
            raise Unusable(
                "HOME is not set, so CUDA has no place for what it compiles; set CUDA_CACHE_PATH to a folder"
            )
        cache = cls(pathlib.Path(path) if path else pathlib.Path(home, ".nv", "ComputeCache"))
        cache._check()
        return cache

    def __init__(self, folder: pathlib.Path):
        self.folder = folder

    def held(self) -> int:
        """The bytes of the compiled kernels."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # CUDA may be replacing it
                    total += 0 if name.startswith("awsdet-") else os.path.getsize(os.path.join(folder, name))
        return total

    def has(self, facts: Mapping[str, Any]) -> bool:
        """Whether the work with these facts has been compiled, and is still there."""
        try:
            mark = json.loads(self._mark(facts).read_text())
            return self.held() >= _KEPT * mark["bytes"]
        except (OSError, ValueError, KeyError, TypeError):  # none, or one that is damaged
            return False

    def mark(self, facts: Mapping[str, Any]) -> None:
        """Notes that the work with these facts has been compiled. Raises OSError."""
        files.write_json(self._mark(facts), {**facts, "bytes": self.held()}, indent=1)

    @contextlib.contextmanager
    def locked(self, pause: Callable[[], None]) -> Iterator["Lock"]:
        """A context in which no other process is. Until then it calls `pause()` time and again, which may raise."""
        with (self.folder / _LOCK).open("a+") as file:
            before = _read(file)
            while not _try_lock(file):
                pause()
            after = _read(file)
            yield Lock(file, after.partition(" ")[2] if after != before else "")

    def _mark(self, facts):
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{_MARK}{digest}.json"

    def _check(self):
        cure = "set CUDA_CACHE_PATH to a folder"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / _LOCK).open("a+"):
                pass
        except OSError as error:
            raise Unusable(
                f"CUDA's cache {self.folder} cannot be written ({error.strerror}); {cure} that can"
            ) from error
        free = shutil.disk_usage(self.folder).free
        if free < _LEAST_ROOM and free + self.held() < _LEAST_ROOM:
            raise Unusable(
                f"the disk of CUDA's cache {self.folder} has only {free / 2**20:.0f} MiB left, and compiled kernels "
                f"take more than 1 GiB; make room, or {cure} on another disk"
            )


class Lock:
    """The lock of a cache, held. Attributes: failure, of the process that held it while this one waited; or empty."""

    def __init__(self, file, failure):
        self._file, self.failure = file, failure

    def note(self, failure: str) -> None:
        """Tells those who wait for the lock why this process did not compile, so that they need not try too; or,
        with an empty text, that it did."""
        with contextlib.suppress(OSError):  # then they do
            self._file.seek(0)
            self._file.truncate()
            self._file.write(f"{time.time_ns()} {failure}" if failure else "")
            self._file.flush()


def size_problem(limit: str) -> str:
    """What is wrong with a CUDA_CACHE_MAXSIZE, in words; empty if nothing is."""
    if limit.isdigit() and int(limit) >= CACHE_BYTES:
        return ""
    return (
        f"CUDA_CACHE_MAXSIZE={limit} may be too little for TensorFlow's kernels, of which CUDA would then compile some "
        f"at each start; unset it, or set it to {CACHE_BYTES}"
    )


def _read(file):
    file.seek(0)
    return file.read()


def _try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # this file system has no locks: at worst two processes compile the same
    return True
