"""Paths that a user gives: what a shell would do with them, what is refused, and what C++ libraries make of them.

Any path that the file system takes is allowed, whatever characters or bytes it has. Addresses are not: awsdet reads and
writes files of this machine (or of a file system that is mounted here).
"""

import os
import pathlib
import re

from awsdet.runtime.errors import UserError

_LONGEST_NAME = 255  # bytes, of a file system
_LONGEST_PATH = 4095 - 255  # bytes that the system takes, less what awsdet adds to it
# With one slash too, which is what pathlib leaves of an address, unless there is a folder of that name.
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://|(s3[an]?|gs|https?|hdfs|file|az|abfss?|wasbs?|ftp|sftp):/+(?!$)", re.I)
_COPIES = {  # how to copy what is at an address X to a folder here, and the other way round
    "s3": ("aws s3 cp --recursive X FOLDER", "aws s3 cp --recursive FOLDER X"),
    "gs": ("gcloud storage cp -r X FOLDER", "gcloud storage cp -r FOLDER X"),
    "hdfs": ("hdfs dfs -get X FOLDER", "hdfs dfs -put FOLDER X"),
    "http": ("curl -fLO X", "your own upload"),
    "az": ("azcopy copy X FOLDER --recursive", "azcopy copy FOLDER X --recursive"),
}
_ALIKE = {"s3a": "s3", "s3n": "s3", "https": "http", **dict.fromkeys(("abfs", "abfss", "wasb", "wasbs"), "az")}
# Of other characters some library might think that they are a pattern, an address or another encoding.
_PLAIN = re.compile(rb"[\w./ +=@,:-]*")


# Ends the cure for an address of weights.
WEIGHTS = "; or give a name of awsdet weights --list, which awsdet weights --get and a training fetch"


def given_path(path: str | os.PathLike, name: str, written: bool = False, hint: str = "") -> str:
    """A path as the user meant it: "~" at its start is the home folder. Nothing is said about whether it exists.

    Args:
        path: the value that the user gave; an empty one is returned as it is.
        name: of the flag or setting, as in "--output", for errors.
        written: whether awsdet would write there.
        hint: ends the line about an address.

    Raises UserError for an address such as s3://bucket/key, and for what is no path or too long for one.
    """
    try:
        text = os.fspath(path)
        text = os.fsdecode(text)
    except TypeError:
        raise UserError(f"{name} is {path!r}; it must be a path") from None
    found = _ADDRESS.match(text)
    if found and (found[1] or not os.path.lexists(text.partition("/")[0])):
        raise UserError(
            f"{name}={text} is an address, and {_instead(text, (found[1] or found[2]).lower(), written)}{hint}"
        )
    text = os.path.expanduser(text)
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        raise UserError(f"{name}={text!r} has a character that no path can have") from None
    if b"\0" in raw:
        raise UserError(f"{name}={text!r} has a null character, which no path can have")
    longest = max(map(len, raw.split(b"/")))
    if longest > _LONGEST_NAME:
        raise UserError(f"{name}={text[:60]}… has a name of {longest} bytes; a file system takes {_LONGEST_NAME}")
    if len(raw) > _LONGEST_PATH:
        raise UserError(f"{name}={text[:60]}… has {len(raw)} bytes; give a path of {_LONGEST_PATH} at most")
    return text


def _instead(text, scheme, written):
    """What to do instead of giving an address."""
    if scheme == "file":
        rest = re.sub(r"^file:/+(localhost(?=/))?/*", "/", text, flags=re.IGNORECASE)
        return f"awsdet takes paths; write {rest}"
    there, back = _COPIES.get(_ALIKE.get(scheme, scheme), ("", ""))
    copy = (back if written else there).replace("X", text, 1)
    if written:
        cure = f"awsdet writes files here; give a folder or file here, and copy it afterwards{copy and f': {copy}'}"
    else:
        cure = f"awsdet reads files that are here; copy it here first{copy and f': {copy}'}"
    return f"{cure}; on SageMaker, awsdet sagemaker copies both ways" if "s3" in scheme else cure


class PlainFolder:
    """A folder under a path that every library takes for what it is. It exists, and is kept open until `close`.

    TensorFlow reads some paths as patterns, in which "[" and a backslash mean something else. Of the usual paths,
    `path` is the path itself. Of others it is the name of an open file of this process.
    """

    def __init__(self, path: str | os.PathLike):
        """Raises OSError if it is no folder."""
        self._descriptor = None
        self.path = pathlib.Path(path)
        if not _PLAIN.fullmatch(os.fsencode(self.path)):
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self.path = pathlib.Path(f"/proc/self/fd/{self._descriptor}")

    def close(self) -> None:
        """Closes it; `path` must not be used any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self):
        self.close()
