"""Extracts zip and tar archives that nobody vouches for: data sets in a job, results on the user's machine.

Refused are absolute paths, `..`, links, devices, two entries of one name, and more bytes than the limit. Bytes are
counted as they are written, whatever the archive says of its sizes. Owners and permissions are not restored. An archive
is read once, from its first to its last byte, so that the checksum at its end is checked too.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import pathlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

from awsdet.runtime.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BLOCK = 1 << 20  # bytes
_PROGRESS_EVERY = 20_000  # files
_SPARE = 1_000_000_000  # bytes of a disk that are left free
# What begins a compressed file -> what reads it.
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # an encrypted zip file; a method of compression that is unknown
    ValueError,
)


class TooLarge(UserError):
    """An archive extracts to more bytes than it may."""


class Extracted(NamedTuple):
    """What an archive held. files: number of files. size: bytes."""

    files: int
    size: int


def is_archive(path: pathlib.Path) -> bool:
    """Whether the name of a file is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def room(folder: str | os.PathLike[str]) -> int:
    """The bytes that archives may fill on the disk of a folder: what is free, less 1 GB."""
    return max(0, shutil.disk_usage(folder).free - _SPARE)


def extract(archive, folder, limit: int, progress: Callable[[int], None] | None = None) -> Extracted:
    """Extracts an archive into a folder that exists. What was written before a fault was found stays there.

    Args:
        archive: path of the file; whether it is a zip file is told by its name, how a tar file is compressed by its
            first bytes.
        folder: where to. Nothing in it is overwritten.
        limit: bytes that the archive may extract to.
        progress: called with the number of files so far, now and then.

    Raises UserError if the archive is damaged or holds something that is refused, TooLarge beyond the limit, OSError if
    the disk is full or cannot be written.
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    files = size = 0
    try:
        with _opened(archive) as entries:
            for entry in entries:
                path = _inside(archive, folder, entry.name)
                if entry.refused:
                    raise UserError(f"{archive} holds {entry.name!r}, which is a link or a device; pack it without")
                if entry.is_folder:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with entry.open() as source:
                    size += _write(source, path, limit - size, f"{archive} extracts to more than {limit / 1e9:.1f} GB")
                files += 1
                if progress is not None and files % _PROGRESS_EVERY == 0:
                    progress(files)
    except FileExistsError as error:
        raise UserError(f"{archive} holds {error.filename}, which is there already; pack it once") from error
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk; without a number it is bz2 or gzip
            raise
        reason = str(error).partition("\n")[0].rstrip(":")
        raise UserError(f"{archive} is damaged, encrypted or no archive ({reason}); fetch or pack it again") from error
    return Extracted(files, size)


def _write(source, path, limit, too_large):
    """Writes a file that must be new. Returns its size in bytes. Raises TooLarge with a text beyond `limit`."""
    size = 0
    # Exclusive, so that nothing is overwritten; the tree has no links, since none is extracted.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
        while block := source.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise TooLarge(too_large)
            file.write(block)
    return size


def _inside(archive, folder, name):
    """The path of an entry. Raises UserError if it is not below `folder`."""
    parts = pathlib.PurePosixPath(name).parts
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts:
        raise UserError(f"{archive} holds the path {name!r}, which leads out of the archive; pack it without")
    return folder.joinpath(*parts)


class _Entry(NamedTuple):
    """An entry of an archive. refused: whether it is neither a file nor a folder. open: function that opens it."""

    name: str
    is_folder: bool
    refused: bool
    open: Callable


@contextlib.contextmanager
def _opened(archive):
    """A context: an iterator of the _Entry tuples of an archive."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            yield _of_zip(opened)
        return
    with archive.open("rb") as file:
        start = file.read(6)
    reader = next((reader for magic, reader in _COMPRESSED.items() if start.startswith(magic)), open)
    # A stream, "r|", reads a large tar once; "r:" would look for the list of its entries first.
    with reader(archive, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as opened:
        yield _of_tar(opened)


def _of_zip(opened):
    for entry in opened.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        refused = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        yield _Entry(entry.filename, entry.is_dir(), refused, lambda entry=entry: opened.open(entry))


def _of_tar(opened):
    for entry in opened:
        refused = not (entry.isfile() or entry.isdir())
        yield _Entry(entry.name, entry.isdir(), refused, lambda entry=entry: opened.extractfile(entry))
    # To the end, where gzip's checksum is: tarfile does not read that far. It also takes a broken header for the end.
    while block := opened.fileobj.read(_BLOCK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("there is more after its end")
