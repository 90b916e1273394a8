"""What a user means by train.init_from: a name of the catalogue, or a path."""

import os
import pathlib

from absl import logging

from awsdet.runtime.errors import UserError
from awsdet.runtime.paths import WEIGHTS, given_path
from awsdet.weights import download
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import ENTRIES, Entry, nearest


def entry_of(value: str | os.PathLike) -> Entry | None:
    """The entry that is called so; None for a path.

    What contains a separator is a path, as in ./imagenet-r50. Raises UserError for a name that is unknown, or for one
    that is a file or a folder too.
    """
    value = str(value)
    if os.sep in value or value in ("", ".", ".."):
        return None
    exists = os.path.lexists(value)
    entry = ENTRIES.get(value)
    if entry and exists:
        raise UserError(f"{value} is the name of pretrained weights and a path too; for the path, write ./{value}")
    if entry or exists or os.path.splitext(value)[1]:
        return entry
    near = nearest(value)
    hint = f"did you mean {', '.join(near)}?" if near else "awsdet weights --list shows the names"
    raise UserError(f"weights {value}: there is no such file, and no pretrained weights are called so; {hint}")


def path_of(value: str | os.PathLike) -> pathlib.Path:
    """The path that a user means; the file of a name is fetched if it is not in the cache. Raises UserError."""
    entry = entry_of(value)
    if entry is None:
        return pathlib.Path(given_path(value, "weights", hint=WEIGHTS))
    path = download.fetch(entry, Cache.from_environment())
    logging.info("weights %s: %s", entry.name, path)
    return path


def to_fetch(value: str | os.PathLike) -> Entry | None:
    """The entry that is called so and whose file is not in the cache; None if there is nothing to fetch."""
    entry = entry_of(value)
    return entry if entry and not Cache.from_environment().holds(entry) else None
