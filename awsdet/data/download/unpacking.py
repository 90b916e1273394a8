"""Unpacks an archive of a data set in one piece, with a list of its files by which they can be checked later.

The files are written to a folder of another name, which is renamed when all are there. An interrupted call leaves that
folder, and the next one begins anew.
"""

import os
import pathlib
import zipfile
import zlib
from typing import NamedTuple

from absl import logging

from awsdet.data.download.sets import Archive
from awsdet.runtime import archives
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import ASIDE, flush, remove, write_json
from awsdet.runtime.progress import Progress
from awsdet.runtime.room import check_room

_LISTS = ".download"  # the folder of the lists, in that of the data set
_BLOCK = 2**20


class Entry(NamedTuple):
    """A file of an archive: its name with "/", its size in bytes, and its CRC-32."""

    name: str
    size: int
    crc: int


class Directory(NamedTuple):
    """What an archive holds: the files in its one folder, the names of others, and the bytes of all."""

    entries: list[Entry]
    outside: list[str]
    size: int


class Checked(NamedTuple):
    """What is wrong with unpacked files: names. right: how many have the bytes of the archive."""

    right: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]


def list_path(folder: pathlib.Path, archive: Archive) -> pathlib.Path:
    """Where the list of the unpacked files of an archive is."""
    return folder / _LISTS / f"{archive.part}.json"


def is_unpacked(folder: pathlib.Path, archive: Archive) -> bool:
    """Whether an archive was unpacked to the folder of the data set. The files are not looked at."""
    return list_path(folder, archive).is_file() and (folder / archive.folder).is_dir()


def directory_of(path: pathlib.Path, archive: Archive) -> Directory:
    """What an archive holds. Nothing is unpacked.

    Raises UserError if it is damaged, holds a path that leads out of it, has no file in its folder, or would unpack to
    far too much.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            found = opened.infolist()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        raise UserError(f"{path} is damaged or no zip file ({error}); remove it, and it is fetched anew") from error
    for entry in found:
        name = entry.filename
        if name.startswith("/") or ".." in name.split("/") or "\\" in name:
            raise UserError(f"{path} holds the path {name!r}, which leads out of the archive; it is not unpacked")
    size = sum(entry.file_size for entry in found)
    if size > 2 * archive.unpacked:
        raise UserError(
            f"{path} would unpack to {size} bytes, and about {archive.unpacked} were expected; it is not unpacked"
        )
    files = [Entry(entry.filename, entry.file_size, entry.CRC) for entry in found if not entry.is_dir()]
    inside = [entry for entry in files if entry.name.startswith(f"{archive.folder}/")]
    if not inside:
        raise UserError(f"{path} holds no file in {archive.folder}/; it is not unpacked")
    return Directory(inside, [entry.name for entry in files if not entry.name.startswith(f"{archive.folder}/")], size)


def unpack(path: pathlib.Path, archive: Archive, folder: pathlib.Path) -> int:
    """Unpacks the file `path` to the folder of the data set. Returns the number of files in its one folder.

    What else it holds is left out, which a warning says.

    Raises UserError for an archive that is damaged or holds what is refused, and if there is no room; OSError if the
    disk refuses.
    """
    entries, outside, size = directory_of(path, archive)
    if outside:
        words = "%s holds %d file(s) outside %s/, such as %s; they are left out"
        logging.warning(words, path, len(outside), archive.folder, outside[0])
    aside = folder / f"{ASIDE}{archive.part}"
    remove(aside)
    check_room(folder, size, f"the files of {path.name}")
    aside.mkdir()
    try:
        count = len(entries) + len(outside)
        logging.info("unpacking %s: %d files", path.name, count)
        words = f"unpacking {path.name}: %d files so far"
        done = archives.extract(path, aside, size, lambda files: logging.info(words, files))
        if done.files != count or done.size != size:
            raise UserError(f"{path} does not hold what its directory says; remove it, and it is fetched anew")
        logging.info("writing the files of %s to the disk", path.name)
        os.sync()  # much faster than file by file, of which there may be 118,000
        content = {"archive": path.name, "md5": archive.md5, "files": [list(entry) for entry in entries]}
        list_path(folder, archive).parent.mkdir(exist_ok=True)
        write_json(list_path(folder, archive), content)
        (aside / archive.folder).rename(folder / archive.folder)
        flush(folder)
    finally:
        remove(aside)  # also after a failure, so that the disk is not left full
    return len(entries)


def check(folder: pathlib.Path, archive: Archive, entries: list[Entry]) -> Checked:
    """Compares the unpacked files of an archive with its list, byte for byte by their CRC-32. Raises OSError."""
    missing, changed = [], []
    with Progress(len(entries), f"checking {archive.folder}", "files") as progress:
        for entry in entries:
            path = folder / entry.name
            if not path.is_file():
                missing.append(entry.name)
            elif path.stat().st_size != entry.size or _crc(path) != entry.crc:
                changed.append(entry.name)
            progress.add()
    return Checked(len(entries) - len(missing) - len(changed), tuple(missing), tuple(changed))


def _crc(path):
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc
