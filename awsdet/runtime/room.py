"""Room on a disk, looked at before work whose output would not fit. Quotas are not seen: nobody tells of them."""

import math
import os
import pathlib

from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import AnyPath, existing

_LITTLE = 1.1  # with less than this times what is needed, a line warns


def free_bytes(path: AnyPath) -> float:
    """The bytes that are free for files at `path`, which need not exist; infinite if the file system does not say."""
    path = pathlib.Path(path).absolute()
    state = os.statvfs(existing([path, *path.parents]))
    return state.f_bavail * state.f_frsize if state.f_blocks else math.inf


def check_room(path: AnyPath, needed: float, what: str, cure: str = "make room, or give another folder") -> None:
    """Looks whether so many bytes fit. Raises UserError if they do not; logs a warning if they hardly do.

    Args:
        path: folder or file to write; need not exist.
        needed: bytes.
        what: needs them, as in "the records of split train".
        cure: what to do if they do not fit.
    """
    free = free_bytes(path)
    wanted, left = text_of_bytes(needed), text_of_bytes(free)
    if needed > free:
        raise UserError(f"{what} need about {wanted}, and {path} has {left} left; {cure}")
    if needed * _LITTLE > free:
        logging.warning("%s need about %s, and %s has only %s left", what, wanted, path, left)


def text_of_bytes(count: float) -> str:
    """A number of bytes as it is read, as in "1.2 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
