"""Extracts zip and tar archives that the user does not vouch for.

Refused are absolute paths, `..`, links, devices, two entries of one name, and more bytes than the limit. Bytes are
counted as they are written, whatever the archive says of its sizes.
"""

import os
import pathlib
import shutil
import stat
import tarfile
import zipfile

from container_base import number, say

from awsdet.runtime.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BLOCK = 1 << 20
_SAY_EVERY = 20_000  # files
_SPARE = 1_000_000_000  # bytes of the disk that are left free


def is_archive(path):
    """Whether the name of a file is that of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def extract_all(archives, target):
    """Extracts archives into the new folder `target`, all into one tree.

    Raises UserError for an archive that is damaged, holds something that is refused, or is too large.
    """
    target.mkdir(parents=True)
    budget = _Budget(target)
    for archive in archives:
        say(f"extracting {archive.name} ({archive.stat().st_size / 1e6:.1f} MB) to {target}")
        try:
            files = _extract(archive, target, budget)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
            raise UserError(f"{archive} is damaged, encrypted or no archive: {error}") from error
        except FileExistsError as error:
            raise UserError(f"{archive} holds {error.filename}, which is there already; pack it once") from error
        except OSError as error:
            raise UserError(f"{archive} could not be extracted to {target}: {error}") from error
        say(f"extracted {files} files from {archive.name}; {budget.written / 1e6:.1f} MB in all")


class _Budget:
    """Counts what is written."""

    def __init__(self, target):
        gigabytes = number("AWSDET_EXTRACT_LIMIT_GB", 0)
        self.limit = gigabytes * 10**9 or max(0, shutil.disk_usage(target).free - _SPARE)
        self.written = 0

    def spend(self, size, archive):
        self.written += size
        if self.written > self.limit:
            raise UserError(
                f"{archive} extracts to more than {self.limit / 1e9:.1f} GB; give the job a larger volume, or raise "
                "AWSDET_EXTRACT_LIMIT_GB"
            )


def _extract(archive, target, budget):
    """Extracts one archive. Returns the number of files."""
    files = 0
    with _entries(archive) as entries:
        for name, is_folder, refused, opened in entries:
            path = _inside(archive, target, name)
            if refused:
                raise UserError(f"{archive} holds {name!r}, which is {refused}; only files and folders are extracted")
            if is_folder:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            # Exclusive, so that nothing is overwritten; the tree has no links, since none is extracted.
            with opened() as source, open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
                while block := source.read(_BLOCK):
                    budget.spend(len(block), archive)
                    file.write(block)
            files += 1
            if files % _SAY_EVERY == 0:
                say(f"extracting {archive.name}: {files} files so far")
    return files


def _inside(archive, target, name):
    """The path of an entry. Raises UserError if it is not below `target`."""
    parts = pathlib.PurePosixPath(name).parts
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in parts:
        raise UserError(f"{archive} holds the path {name!r}, which leads out of the archive; pack it without")
    return target.joinpath(*parts)


class _entries:
    """A context: (name, whether it is a folder, why it is refused or "", function that opens it) of each entry."""

    def __init__(self, archive):
        self._zip = archive.name.lower().endswith(".zip")
        # A stream, "r|*", reads a large tar once; "r:*" would look for the list of its entries first.
        self._opened = zipfile.ZipFile(archive) if self._zip else tarfile.open(archive, "r|*")

    def __enter__(self):
        return self._from_zip() if self._zip else self._from_tar()

    def __exit__(self, *_):
        self._opened.close()

    def _from_zip(self):
        for entry in self._opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            refused = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else "a link or a device"
            yield entry.filename, entry.is_dir(), refused, lambda entry=entry: self._opened.open(entry)

    def _from_tar(self):
        for entry in self._opened:
            refused = "" if entry.isfile() or entry.isdir() else "a link or a device"
            yield entry.name, entry.isdir(), refused, lambda entry=entry: self._opened.extractfile(entry)
