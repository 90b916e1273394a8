"""Brings a data set to a folder of this machine: archives are fetched, checked by their MD5, and unpacked.

    DIR/archives/        the archives, until they are unpacked
    DIR/train2017/, …    what they hold
    DIR/.download/       the lists of the unpacked files

Each step that was done is found and not done again, so the same command goes on after an interruption.
"""

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import logging

from awsdet.data.download import unpacking
from awsdet.data.download.sets import Archive, DataSet, Split
from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
from awsdet.runtime.fetching import PATIENCE, Patience, Wanted
from awsdet.runtime.http_get import mirrored
from awsdet.runtime.progress import Progress
from awsdet.runtime.room import check_room
from awsdet.runtime.segments import SEGMENT, fetch_all

CONNECTIONS = 8
_ARCHIVES = "archives"
_LARGEST = 2**40  # bytes
_BLOCK = 2**20


class Options(NamedTuple):
    """How a data set is brought.

    Attributes:
        mirror: URL that replaces scheme and host of all addresses; empty: none.
        keep_archives: whether the archives stay after they were unpacked.
        records: whether there must be room for records too.
        connections: that are open at the same time.
        patience: of each connection.
        segment: bytes of an archive that one connection fetches at a time.
    """

    mirror: str = ""
    keep_archives: bool = False
    records: bool = False
    connections: int = CONNECTIONS
    patience: Patience = PATIENCE
    segment: int = SEGMENT


class Verified(NamedTuple):
    """What is there of a part. lines: in words. sound: whether all of it is, with the right bytes."""

    lines: tuple[str, ...]
    sound: bool


def chosen(data_set: DataSet, parts: Sequence[str]) -> list[Archive]:
    """The archives of some parts, or of all if none is named. Raises UserError for a part that there is not."""
    known = [archive.part for archive in data_set.archives]
    for part in parts:
        if part not in known:
            raise UserError(f"--parts={','.join(parts)}: {data_set.name} has no part {part!r}, but {', '.join(known)}")
    return [archive for archive in data_set.archives if not parts or archive.part in parts]


def bring(data_set: DataSet, folder: pathlib.Path, wanted: Sequence[Archive], options: Options) -> Iterator[str]:
    """Fetches and unpacks archives of a data set. Yields lines on what was done.

    Raises UserError if there is no room or something is in the way, FetchFailed if a server fails, OSError if the disk
    refuses. The same call goes on with what was done before.
    """
    addresses = {archive: mirrored(archive.address, options.mirror, "--from") for archive in wanted}
    folder.mkdir(parents=True, exist_ok=True)
    with _owned(folder, data_set):
        missing = [archive for archive in wanted if not unpacking.is_unpacked(folder, archive)]
        for archive in wanted:
            if archive not in missing:
                yield f"{archive.part}: {folder / archive.folder} is there already"
            elif (folder / archive.folder).exists():
                raise UserError(
                    f"{folder / archive.folder} is there already, and this command did not write it; move it away, or "
                    f"leave {archive.part} out with --parts"
                )
        fetched = {archive: _path(folder, archive).is_file() for archive in missing}
        _check_room(folder, missing, fetched, options, data_set)
        (folder / _ARCHIVES).mkdir(exist_ok=True)
        _fetch([archive for archive in missing if not fetched[archive]], folder, addresses, options)
        for archive in missing:
            path = _path(folder, archive)
            if fetched[archive]:
                yield _checked(path, archive)
            else:
                yield f"{archive.part}: fetched {addresses[archive]}; its MD5 is right"
            count = unpacking.unpack(path, archive, folder)
            yield f"{archive.part}: unpacked {count:,} files to {folder / archive.folder}"
            if not options.keep_archives:
                path.unlink()
        with contextlib.suppress(OSError):  # not empty
            (folder / _ARCHIVES).rmdir()


def convertible(data_set: DataSet, folder: pathlib.Path) -> list[Split]:
    """The splits whose annotations and images are both there."""
    return [s for s in data_set.splits if (folder / s.annotations).is_file() and (folder / s.images).is_dir()]


def verify(folder: pathlib.Path, archive: Archive) -> Verified:
    """Checks what is there of an archive: the file by its MD5, and what was unpacked of it file by file.

    Changes nothing. Raises OSError if something cannot be read.
    """
    lines, sound, entries = [], True, None
    path, listed = _path(folder, archive), unpacking.list_path(folder, archive)
    if path.is_file():
        problem = fault(path, archive)
        sound = not problem
        lines.append(f"{archive.part}: {path} {'is not right: ' + problem if problem else 'is right by its MD5'}")
        if sound:
            entries = unpacking.directory_of(path, archive).entries
    if listed.is_file():
        entries = _listed(listed)
    if not (folder / archive.folder).is_dir():
        if not lines:
            lines.append(f"{archive.part}: neither {folder / archive.folder} nor {path} is there")
        return Verified(tuple(lines), False)
    if entries is None:
        lines.append(f"{archive.part}: {folder / archive.folder} has neither a list of its files nor a sound archive")
        return Verified(tuple(lines), False)
    found = unpacking.check(folder, archive, entries)
    for what, names in (("missing", found.missing), ("changed", found.changed)):
        if names:
            more = ", …" if len(names) > 3 else ""
            lines.append(f"{archive.part}: {len(names):,} files are {what}: {', '.join(names[:3])}{more}")
            sound = False
    lines.append(f"{archive.part}: {found.right:,} of {len(entries):,} files have the bytes of the archive")
    return Verified(tuple(lines), sound)


def fault(path: pathlib.Path, archive: Archive) -> str:
    """What is wrong with the file of an archive; empty if nothing is. Raises OSError."""
    size = path.stat().st_size
    if size != archive.size:
        return f"it has {size} bytes, not {archive.size}"
    logging.info("computing the MD5 of %s", archive.file)
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    return "" if found == archive.md5 else f"its MD5 is {found}, and {archive.md5} was published"


def _checked(path, archive):
    problem = fault(path, archive)
    if problem:
        raise UserError(f"{path} is not the archive of {archive.part}: {problem}; remove it, and it is fetched anew")
    return f"{archive.part}: {path} was there; its MD5 is right"


def _fetch(missing, folder, addresses, options):
    if not missing:
        return
    files = [
        Wanted(
            archive.file,
            addresses[archive],
            _path(folder, archive),
            lambda path, archive=archive: fault(path, archive),
            archive.size,
            _LARGEST,
        )
        for archive in missing
    ]
    names = ", ".join(file.name for file in files)
    with Progress(sum(file.size for file in files) // 10**6, f"fetching {names}", "MB") as progress:
        shown = 0

        def tell(count):
            nonlocal shown
            progress.add(count // 10**6 - shown)
            shown = count // 10**6

        fetch_all(files, options.connections, tell, options.patience, options.segment)


def _check_room(folder, missing, fetched, options, data_set):
    """Raises UserError if the disk is too small for the largest sum of archives, files and records on the way."""
    level = peak = sum(0 if fetched[archive] else archive.size - _begun(folder, archive) for archive in missing)
    for archive in missing:
        level += archive.unpacked
        peak = max(peak, level)
        level -= 0 if options.keep_archives else archive.size
    if options.records:  # they hold the images once more
        images = {split.images for split in data_set.splits}
        peak = max(peak, level + sum(archive.unpacked for archive in missing if archive.folder in images))
    check_room(folder, peak, f"the archives and files of {data_set.name}{' and their records' * options.records}")


def _begun(folder, archive):
    """Bytes of an archive that an earlier call has fetched."""
    return sum(path.stat().st_size for path in (folder / _ARCHIVES).glob(f".*{archive.file}.*"))


def _path(folder, archive):
    return folder / _ARCHIVES / archive.file


def _listed(path):
    try:
        return [unpacking.Entry(*entry) for entry in json.loads(path.read_text())["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; remove it and the files that it lists, and fetch them again") from error


@contextlib.contextmanager
def _owned(folder, data_set):
    """A context in which no other command writes to the folder. Raises UserError if one does."""
    ownership = owner.acquire(folder / ".download.lock", f"the download of {data_set.name} to {folder}")
    try:
        yield
    finally:
        ownership.release()
