"""Fonts for labels: the one that comes with Pillow, or one of this system that has the letters of a label."""

import functools
import pathlib

from PIL import ImageFont

# Where systems keep fonts, and the files to look for, the most suitable first. Pillow's own has Latin letters only.
_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_FILES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.*",
    "NotoSansCJK-Regular.*",
    "NotoSansCJK*-Regular.*",
    "NotoSans*-Regular.*",
    "SourceHanSans*-Regular.*",
    "wqy-*.tt?",
    "DroidSansFallback*.ttf",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "msyh.ttc",
    "malgun.ttf",
    "YuGothM.ttc",
    "unifont*.[ot]tf",
    "FreeSans.ttf",
)
_NOWHERE = "\U0010fffe"  # no character, so every font draws its sign for missing letters
_PROBE = 16  # px


def font_for(text, size):
    """A font of `size` px with all letters of `text`; None if neither Pillow nor this system has one."""
    for path in (None, *system_fonts()):
        if _has(path, text):
            return _load(path, round(size))
    return None


@functools.lru_cache(1)
def system_fonts():
    """Paths of the fonts of this system that labels may be written in, the most suitable first."""
    folders = [pathlib.Path(folder).expanduser() for folder in _FOLDERS]
    return tuple(
        dict.fromkeys(path for name in _FILES for folder in folders if folder.is_dir() for path in _find(folder, name))
    )


def _find(folder, name):
    try:
        return sorted(folder.rglob(name))
    except OSError:  # a folder that may not be read
        return []


@functools.lru_cache(256)
def _load(path, size):
    """The font in a file, or Pillow's own for None; None for a file that is no font."""
    if path is None:
        return ImageFont.load_default(size=size)
    try:
        return ImageFont.truetype(str(path), size)
    except OSError:
        return None


def _has(path, text):
    font = _load(path, _PROBE)
    return font is not None and all(_has_letter(path, letter) for letter in set(text) if not letter.isspace())


@functools.lru_cache(1 << 16)
def _has_letter(path, letter):
    """Whether a font draws a letter as something other than nothing or its sign for missing letters."""
    font = _load(path, _PROBE)
    try:
        drawn = font.getmask(letter)
    except UnicodeError:  # half of a pair of surrogates, which is no character
        return False
    return drawn.getbbox() is not None and not _equal(drawn, font.getmask(_NOWHERE))


def _equal(mask, other):
    return mask.size == other.size and bytes(mask) == bytes(other)
