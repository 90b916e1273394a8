"""Finds the images below a folder, and accounts for everything else that lies there.

A file is an image if its suffix is that of an image, or if it begins like one. So photos without a suffix are found,
and lists or labels beside the photos are not taken for broken images. Links are followed. A folder is read once, under
the name that is not a link if there is one.
"""

import collections
import os
import pathlib
import stat
from typing import NamedTuple

from awsdet.data.coco.files import special
from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import given_path
from awsdet.runtime.shown import shown

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".webp", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".avif", ".avifs", ".heic", ".heif", ".hif", ".jxl"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".pcx", ".sgi", ".qoi", ".tga", ".psd", ".ico"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"),
)
BEGINNINGS = (  # position and bytes of images whose suffix does not tell
    *((0, b"\xff\xd8\xff"), (0, b"\x89PNG\r\n\x1a\n"), (0, b"GIF87a"), (0, b"GIF89a"), (8, b"WEBP")),
    *((0, b"II*\0"), (0, b"MM\0*"), (4, b"jP  \r\n\x87\n"), (0, b"\xff\x4f\xff\x51")),
    *((4, b"ftypavi"), (4, b"ftyphei"), (4, b"ftypmif1"), (4, b"JXL ")),
)
APPLE_DOUBLE = b"\0\x05\x16\x07"  # what macOS keeps of a file elsewhere, as "._name" with the file's own suffix
_START = 16  # bytes that tell what a file is


class Skipped(NamedTuple):
    """A file or folder that is not read. lost: it may have been an image."""

    path: pathlib.Path
    reason: str
    lost: bool


class Found(NamedTuple):
    """What lies below a folder. paths: images, in order; skipped: list of Skipped; others: suffix -> number of files
    that are no images, "" for those without a suffix."""

    paths: list
    skipped: list
    others: dict


def find_images(source):
    """The images of a folder and its subfolders, ordered by path, or `source` itself if it is a file. Returns Found.

    Raises UserError if nothing is there.
    """
    source = pathlib.Path(given_path(source, "input"))
    if source.is_file():
        return Found([source], [], {})
    if not source.is_dir():
        raise UserError(_why_nothing(source))
    search = _Search()
    search.walk(source)
    found = Found(sorted(search.paths), sorted(search.skipped), dict(sorted(search.others.items())))
    if not found.paths:
        first = f"; {shown(found.skipped[0].path)}: {found.skipped[0].reason}" if found.skipped else ""
        rest = f"; it has {counted(found.others)}" if found.others else ""
        raise UserError(f"folder {shown(source)} has no images that can be read{first}{rest}")
    return found


def counted(others):
    """The numbers of files by suffix in words, as in "3 .txt, 1 without a suffix"."""
    return ", ".join(f"{count} {shown(suffix) or 'without a suffix'}" for suffix, count in others.items())


class _Search:
    def __init__(self):
        self.paths, self.skipped, self.others = [], [], collections.Counter()
        self._folders = {}  # (device, inode) -> path of a folder that is read

    def walk(self, source):
        """Reads a folder and all below it: first what is there without links, then what the links lead to."""
        folders, links = collections.deque([source]), collections.deque()
        self._is_new(source)
        while folders or links:
            folder = folders.popleft() if folders else links.popleft()
            if folder is source or not folder.is_symlink() or self._is_new(folder):
                self._read(folder, folders, links)

    def _read(self, folder, folders, links):
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, f"the folder cannot be read: {error.strerror}")
            return
        for entry in entries:
            path = folder / entry.name
            try:
                mode = os.stat(path).st_mode
            except OSError as error:
                self._unreachable(path, error)
                continue
            if stat.S_ISDIR(mode):
                if entry.is_symlink():
                    links.append(path)
                elif self._is_new(path):
                    folders.append(path)
            else:
                self._file(path, mode)

    def _is_new(self, folder):
        """Whether a folder was not met before; remembers it. A folder that was is skipped with its other name."""
        status = os.stat(folder)
        other = self._folders.setdefault((status.st_dev, status.st_ino), folder)
        if other != folder:
            self._skip(folder, f"another name of the folder {other}, whose images are read there", lost=False)
        return other == folder

    def _file(self, path, mode):
        named = path.suffix.lower() in IMAGE_SUFFIXES
        if not stat.S_ISREG(mode):
            if named:
                self._skip(path, f"it is {special(mode)}, not a file")
            else:
                self.others[special(mode).removeprefix("a ")] += 1
            return
        try:
            with open(path, "rb") as file:
                start = file.read(_START)
        except OSError as error:
            self._skip(path, f"it cannot be opened: {error.strerror}")
            return
        if start.startswith(APPLE_DOUBLE) or not (named or begins_like_an_image(start)):
            self.others[path.suffix.lower()] += 1
        else:
            self.paths.append(path)

    def _unreachable(self, path, error):
        """Keeps a link that leads nowhere, unless its suffix says that it is no image."""
        if path.suffix and path.suffix.lower() not in IMAGE_SUFFIXES:
            self.others[path.suffix.lower()] += 1
            return
        reason = f"it cannot be opened: {error.strerror}"
        if os.path.islink(path):
            reason = f"a link to {os.readlink(path)}, which cannot be opened: {error.strerror}"
        self._skip(path, reason)

    def _skip(self, path, reason, lost=True):
        self.skipped.append(Skipped(path, shown(reason), lost))


def begins_like_an_image(start):
    """Whether the first bytes of a file are those of an image."""
    return any(start[position:].startswith(beginning) for position, beginning in BEGINNINGS)


def _why_nothing(source):
    try:
        mode = os.stat(source).st_mode
    except (FileNotFoundError, ValueError):
        return f"input {shown(source)} does not exist; give an image or a folder of images"
    except OSError as error:
        return f"input {shown(source)} cannot be opened: {error.strerror}; give an image or a folder of images"
    return f"input {shown(source)} is {special(mode)}; give an image or a folder of images"
