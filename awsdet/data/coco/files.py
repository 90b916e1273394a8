"""Finds and opens the files that annotations name, whatever else may stand at their place."""

import errno
import os
import pathlib
import stat
import unicodedata
from typing import NamedTuple


class FoundFile(NamedTuple):
    """Where a file is. renamed: its name on disk is spelt with other Unicode characters that look the same."""

    path: pathlib.Path
    renamed: bool


def find_file(folder, name):
    """The file `name` of a folder, a FoundFile; the path need not exist.

    Systems store "é" as one character or as two (macOS), and archives carry names from one to the other. So a name that
    is not there is looked for in the other spelling.
    """
    path = pathlib.Path(folder) / name
    if not name.isascii() and not _exists(path):
        for form in ("NFC", "NFD"):
            other = pathlib.Path(folder) / unicodedata.normalize(form, name)
            if _exists(other):
                return FoundFile(other, True)
    return FoundFile(path, False)


def read_file(path):
    """The bytes of a regular file. A pipe or a device is refused, not waited for.

    Raises OSError, FileNotFoundError also for a name that no file can have.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # a NUL, or half of a surrogate pair
        raise FileNotFoundError(errno.ENOENT, "no file can have this name") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {special(mode)}, not a file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def special(mode):
    """What a file is that is neither regular nor a folder nor a link, in words; `mode`: its st_mode."""
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))
    return next((words for is_kind, words in kinds if is_kind(mode)), "a device")


def _exists(path):
    try:
        return os.path.lexists(path)
    except ValueError:
        return False
