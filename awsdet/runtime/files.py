"""Files and folders that appear in one piece: written under another name, flushed to disk, then renamed.

If the process is killed, either the old content is still there or all of the new one. What the killed process had not
finished keeps a name that starts with `ASIDE`. Whoever owns the folder removes such leftovers with `remove_leftovers`.
"""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from awsdet.runtime.errors import UserError

ASIDE = ".aside-"  # the names of what is being written or removed start with it
_LONGEST_NAME = 255  # bytes, of a file system

AnyPath = str | os.PathLike[str]


@contextlib.contextmanager
def written_aside(path: AnyPath) -> Iterator[pathlib.Path]:
    """A context that yields another path in the same folder: write a file, a folder or a link to that path.

    At the end of the context it is flushed to disk and renamed to `path`. A file replaces a file; a folder or a link
    replaces whatever is there. After an exception it is removed, and `path` stays as it was. Several writers, also in
    other processes and on other machines, get different paths.

    Raises OSError if it cannot be written.
    """
    path = pathlib.Path(path)
    with half_made(path) as aside:
        yield aside
        _flush_tree(aside)
        old = None
        if (aside.is_symlink() or aside.is_dir()) and path.is_dir() and not path.is_symlink():
            old = path.rename(_aside(path))  # a folder that is not empty cannot be replaced by renaming
        aside.replace(path)
        flush(path.parent)
        if old is not None:
            remove(old)


@contextlib.contextmanager
def half_made(path: AnyPath) -> Iterator[pathlib.Path]:
    """A context that yields another path in the same folder; after an exception, what is there is removed."""
    aside = _aside(pathlib.Path(path))
    try:
        yield aside
    except BaseException:
        with contextlib.suppress(OSError):  # the first error says more
            remove(aside)
        raise


def publish_new(aside: pathlib.Path, choose: Callable[[], pathlib.Path]) -> pathlib.Path:
    """Flushes a folder to disk and renames it to a path that nobody has taken; nothing is ever replaced.

    Args:
        aside: the folder, with something in it; see `half_made`.
        choose: function that returns a path in the same folder which does not exist. If another process takes it first,
            it is called again.

    Returns that path. Raises OSError.
    """
    _flush_tree(aside)
    while True:
        path = choose()
        try:
            aside.rename(path)  # fails where there is a folder with something in it, or a file
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) or not os.path.lexists(path):
                raise
        else:
            flush(path.parent)
            return path


def write_text(path: AnyPath, text: str) -> None:
    """Writes a text file in one piece. Raises OSError."""
    with written_aside(path) as aside:
        aside.write_text(text)


def write_json(path: AnyPath, content: Any, indent: int | None = None) -> None:
    """Writes a JSON file in one piece, without any spaces unless `indent` is given. Raises OSError."""
    write_text(path, json.dumps(content, indent=indent, separators=None if indent else (",", ":")))


def check_writable(path: AnyPath, flag: str) -> None:
    """Raises UserError, which names the flag, if no file can be written to `path`. Its folder need not exist yet.

    For output that is written at the end of a long work. It tries: another file is made beside it and removed.
    """
    path = pathlib.Path(path).absolute()
    if path.is_dir():
        raise UserError(f"{_named(flag)}={path} is a folder; name a file")
    if os.path.exists(path) and not path.is_file():  # it would be replaced
        raise UserError(f"{_named(flag)}={path} is a device or a pipe; name a file")
    _check_above(path, path.parents, flag)


def check_folder(path: AnyPath, flag: str) -> None:
    """Raises UserError, which names the flag, if no files can be written to the folder `path`, which may not exist."""
    path = pathlib.Path(path).absolute()
    if path.is_file():
        raise UserError(f"{_named(flag)}={path} is a file; name a folder")
    _check_above(path, [path, *path.parents], flag)


def _check_above(path, folders, flag):
    folder = existing(folders)
    if not folder.is_dir():
        raise UserError(f"{_named(flag)}={path} cannot be written: {folder} is no folder")
    probe = folder / f"{ASIDE}{secrets.token_hex(4)}"
    try:  # to ask for one's rights is not enough: there are read-only and full file systems, and servers that map users
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise UserError(
            f"{_named(flag)}={path} cannot be written: {folder}: {error.strerror}; name another folder"
        ) from error


def _named(flag):
    return flag if flag.isupper() else f"--{flag}"  # capitals: a variable of the environment


def existing(folders: Iterable[pathlib.Path]) -> pathlib.Path:
    """The first of the paths that exists, if only as a link."""
    return next(parent for parent in folders if os.path.lexists(parent))


def why_no_file(path: AnyPath) -> str:
    """What is wrong with a path that is no file, in words that follow its name."""
    if os.path.isdir(path):
        return "is a folder, not a file"
    return (
        "is a pipe or a device, not a file; write its content to a file" if os.path.exists(path) else "does not exist"
    )


def why_no_folder(path: AnyPath) -> str:
    """What is wrong with a path that is no folder, in words that follow its name."""
    return "is a file, not a folder" if os.path.exists(path) else "does not exist"


def flush(path: AnyPath) -> None:
    """Flushes a file, or the list of names in a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: AnyPath) -> None:
    """Removes a file, a link, or a folder with everything in it. Does nothing if it does not exist."""
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_at_once(path: AnyPath) -> None:
    """Removes a folder that nobody must see half empty: renames it first."""
    path = pathlib.Path(path)
    remove(path.rename(_aside(path)))


def remove_leftovers(folder: AnyPath, pattern: str = "") -> None:
    """Removes what killed processes left half written in a folder. Call it only if nobody else is writing there.

    Args:
        folder: need not exist.
        pattern: a glob pattern for the start of a file name: only leftovers of such files are removed.
    """
    for leftover in pathlib.Path(folder).glob(f"{ASIDE}{pattern}*"):
        remove(leftover)


def _aside(path):
    # A random number, since process numbers are the same in many containers. A long name is cut, so that it fits.
    name = os.fsdecode(os.fsencode(path.name)[: _LONGEST_NAME - len(ASIDE) - 9])
    return path.with_name(f"{ASIDE}{name}.{secrets.token_hex(4)}")


def _flush_tree(path):
    if path.is_symlink():
        return  # a link is stored in its folder, which is flushed after the renaming
    if path.is_dir():
        for inner in path.iterdir():
            _flush_tree(inner)
    flush(path)
