"""The folder of the pages: no file of the user's is overwritten; at the end, pages of an earlier call are replaced."""

import contextlib
import os
import pathlib
import secrets

from awsdet.runtime.errors import UserError
from awsdet.runtime.files import ASIDE, check_folder, remove, remove_leftovers
from awsdet.survey.page import MARK

INDEX = "index.html"
_HEAD = 2000  # bytes in which a page of ours says so


def check(folder, flag="draw"):
    """Proves that the folder, which need not exist, can be written, by writing a file beside what it will hold.

    Raises UserError, which names the flag, if not, and if it holds files that `awsdet inspect` did not write.
    """
    folder = pathlib.Path(folder)
    check_folder(folder, flag)
    try:
        foreign = sorted(path.name for path in folder.iterdir() if not _is_ours(path)) if folder.is_dir() else []
        there = next(path for path in [folder, *folder.absolute().parents] if path.is_dir())
        proof = there / f"{ASIDE}proof.{secrets.token_hex(4)}"
        proof.write_bytes(b"proof")
        proof.unlink()
    except OSError as error:
        raise UserError(
            f"--{flag}={folder} cannot be written: {error.strerror or error}; name another folder"
        ) from None
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UserError(
            f"--{flag}={folder} holds {foreign[0]}{more}, which awsdet inspect did not write; name a new folder"
        )


@contextlib.contextmanager
def replaced(folder):
    """A context that yields an empty folder; at its end, what was written there replaces what `folder` held.

    Call `check` before. After an exception, `folder` is as it was. Raises OSError.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    aside = folder / f"{ASIDE}pages.{secrets.token_hex(4)}"
    aside.mkdir()
    try:
        yield aside
    except BaseException:
        remove(aside)
        raise
    old = [path for path in folder.iterdir() if path != aside]
    for path in sorted(old, key=lambda path: path.name != INDEX):  # the index first: it never names what is not there
        remove(path)
    for path in sorted(aside.iterdir(), key=lambda path: path.name == INDEX):
        path.rename(folder / path.name)
    aside.rmdir()


def _is_ours(path):
    """Whether `awsdet inspect` wrote a file or a folder: a page that says so, and the pictures that it shows."""
    if path.name.startswith(ASIDE):
        return True
    if path.is_symlink():
        return False
    if path.is_dir():
        page = path / INDEX
        if not _is_page(page):
            return False
        shown = page.read_text(encoding="utf-8", errors="replace")
        return all(inner.name == INDEX or _is_shown(inner, shown) for inner in path.iterdir())
    return path.name == INDEX and _is_page(path)


def _is_page(path):
    if not path.is_file() or path.is_symlink():
        return False
    with open(path, "rb") as file:
        return MARK.encode() in file.read(_HEAD)


def _is_shown(path, page):
    return path.is_file() and not path.is_symlink() and path.suffix == ".jpg" and f'"{os.path.basename(path)}"' in page
