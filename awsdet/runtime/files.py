"""Files and folders that appear in one piece: written aside, flushed to disk, renamed.

A kill at any instant leaves either what was there before or the whole of what is new. What a killed process had set
aside stays under a name that starts with `ASIDE`; whoever owns the folder removes it with `remove_leftovers`.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import Any, Union

ASIDE = ".aside-"  # how the name of whatever is being written, or about to be removed, starts

Path = Union[str, "os.PathLike[str]"]


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[pathlib.Path]:
    """A context that yields another path in the folder of `path`: write a file, a folder or a link there.

    At its end all of it is flushed to disk and renamed to `path`. A file replaces a file; a folder or a link replaces
    whatever is there. After an exception what was written is removed, and `path` stays as it was. No two writers get
    the same path, in whatever process or on whatever machine.

    Raises OSError if the disk does not take it.
    """
    path = pathlib.Path(path)
    aside = _aside(path)
    try:
        yield aside
        _flush_tree(aside)
        old = None
        if (aside.is_symlink() or aside.is_dir()) and path.is_dir() and not path.is_symlink():
            old = path.rename(_aside(path))  # nothing can be renamed onto a folder
        aside.replace(path)
        flush(path.parent)
        if old is not None:
            remove(old)
    except BaseException:
        with contextlib.suppress(OSError):  # the error that led here says more
            remove(aside)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one piece. Raises OSError."""
    with written_aside(path) as aside:
        aside.write_text(text)


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Writes a JSON file in one piece, as compact as can be unless `indent` is given. Raises OSError."""
    write_text(path, json.dumps(content, indent=indent, separators=None if indent else (",", ":")))


def flush(path: Path) -> None:
    """Makes the disk hold what was written to a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Removes a file, a link, or a folder with all it holds; does nothing if it does not exist."""
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_at_once(path: Path) -> None:
    """Removes a folder that must never be seen half empty: it is renamed first."""
    path = pathlib.Path(path)
    remove(path.rename(_aside(path)))


def remove_leftovers(folder: Path, pattern: str = "") -> None:
    """Removes what killed processes had set aside in a folder.

    Only for a caller that knows that no process is writing there.

    Args:
        folder: need not exist.
        pattern: a glob pattern: only what was meant for paths whose names begin so is removed.
    """
    for leftover in pathlib.Path(folder).glob(f"{ASIDE}{pattern}*"):
        remove(leftover)


def _aside(path):
    return path.with_name(f"{ASIDE}{path.name}.{secrets.token_hex(4)}")


def _flush_tree(path):
    if path.is_symlink():
        return  # a link is a name in its folder, which is flushed once it is renamed
    if path.is_dir():
        for inner in path.iterdir():
            _flush_tree(inner)
    flush(path)
