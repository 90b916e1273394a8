"""The folder that fetched weights lie in, and the proof that a file in it is the right one."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import write_text
from awsdet.runtime.paths import given_path
from awsdet.weights.catalogue import Entry

FOLDER, MIRROR = "AWSDET_WEIGHTS", "AWSDET_WEIGHTS_MIRROR"  # environment variables
_BLOCK = 2**20
# How files of each kind begin, so that the error page of a server is not taken for weights.
_BEGINNINGS = {
    ".pth": (b"PK", b"\x80\x02"),
    ".npz": (b"PK",),
    ".pkl": (b"\x80", b"("),
    ".h5": (b"\x89HDF",),
}


class Cache(NamedTuple):
    """folder: where files are kept. mirror: URL that replaces scheme and host of all addresses, or empty."""

    folder: pathlib.Path
    mirror: str

    @classmethod
    def from_environment(cls) -> "Cache":
        """The cache that AWSDET_WEIGHTS and AWSDET_WEIGHTS_MIRROR name."""
        folder = os.environ.get(FOLDER) or "~/.cache/awsdet/weights"
        return cls(
            pathlib.Path(given_path(folder, FOLDER, written=True)).absolute(), os.environ.get(MIRROR, "").rstrip("/")
        )

    def path(self, entry: Entry) -> pathlib.Path:
        """Where the file of an entry is, or will be."""
        return self.folder / entry.file

    def holds(self, entry: Entry) -> bool:
        """Whether the file is there. It is not read."""
        return self.path(entry).is_file()


def verified(cache: Cache, entry: Entry) -> pathlib.Path:
    """The path of a file in the cache whose checksum is right. Raises UserError if it is another one."""
    path = cache.path(entry)
    try:
        problem = fault(path, entry, _seen(path))
    except OSError as error:
        raise UserError(f"weights {path} cannot be read ({error.strerror})") from error
    if problem:
        raise UserError(f"weights {path} are not {entry.name}: {problem}; remove that file, and it is fetched anew")
    keep_checksum(path, entry)
    return path


def fault(path: pathlib.Path, entry: Entry, seen: str = "") -> str:
    """What is wrong with a file of an entry; empty if nothing is.

    seen: SHA-256 that the file had before. Raises OSError if the file cannot be read.
    """
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        return f"it has {size} bytes, not {entry.size}"
    begins = _BEGINNINGS[pathlib.PurePath(entry.file).suffix]
    with path.open("rb") as file:
        begin = file.read(8)
    if not begin.startswith(begins):
        return f"it does not begin like a {pathlib.PurePath(entry.file).suffix} file"
    algorithm, _, wanted = (entry.checksum or (seen and f"sha256:{seen}") or "").partition(":")
    if not algorithm:
        return ""
    digits = digest(path, algorithm)
    if digits.startswith(wanted):
        return ""
    known = "published" if entry.checksum else "seen at the first download"
    return f"its {algorithm.upper()} is {digits}, and {wanted} was {known}"


def keep_checksum(path: pathlib.Path, entry: Entry) -> None:
    """Writes the SHA-256 of a file beside it, if nobody published one and this is the first time."""
    if entry.checksum or _seen(path):
        return
    digits = digest(path, "sha256")
    try:
        write_text(_beside(path), f"{digits}  {path.name}\n")
    except OSError as error:
        logging.warning(
            "nobody published a checksum of %s, and that of %s cannot be kept beside it (%s), so it is not compared",
            entry.name,
            path,
            error.strerror,
        )
        return
    logging.info(
        "nobody published a checksum of %s; its SHA-256 is %s, which is compared from now on (%s)",
        entry.name,
        digits,
        _beside(path),
    )


def digest(path: pathlib.Path, algorithm: str) -> str:
    """The checksum of a file in hexadecimal digits. Raises OSError."""
    checksum = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """A context that one process at a time may be in for each path; others wait. The folder must exist."""
    with open(path.with_name(f".{path.name}.lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("another process fetches %s; waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _beside(path):
    return path.with_name(f"{path.name}.sha256")


def _seen(path):
    try:
        text = _beside(path).read_text()
    except FileNotFoundError:
        return ""
    digits = text.partition(" ")[0].strip()
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise UserError(f"{_beside(path)} does not begin with a SHA-256; remove it if you trust {path}")
    return digits
