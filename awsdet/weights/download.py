"""Fetches the pretrained weights of the catalogue into the cache; `runtime.fetching` does the transfer."""

import pathlib
from collections.abc import Callable

from awsdet.runtime import fetching
from awsdet.runtime.errors import UserError
from awsdet.runtime.fetching import PATIENCE, Cancelled, Patience, Wanted
from awsdet.runtime.http_get import FetchFailed, mirrored, size_of
from awsdet.weights import cache as cached
from awsdet.weights.cache import Cache
from awsdet.weights.catalogue import Entry

__all__ = ["PATIENCE", "Cancelled", "Patience", "address", "fetch", "probe"]


def fetch(
    entry: Entry, cache: Cache, patience: Patience = PATIENCE, cancelled: Callable[[], bool] = lambda: False
) -> pathlib.Path:
    """The path of an entry's file in the cache, which is fetched if it is not there.

    Raises UserError, whose text says how to get the file by hand. Raises Cancelled soon after `cancelled()` is true.
    """
    path = cache.path(entry)
    try:
        if not cache.holds(entry):
            cache.folder.mkdir(parents=True, exist_ok=True)
            with cached.locked(path):
                if not cache.holds(entry):
                    fetching.fetch(_wanted(entry, cache), patience, cancelled)
    except OSError as error:
        raise UserError(_by_hand(f"cannot write {error.filename or path} ({error.strerror})", entry, cache)) from error
    except FetchFailed as error:
        raise UserError(_by_hand(str(error), entry, cache)) from error
    return cached.verified(cache, entry)


def probe(entry: Entry, cache: Cache, patience: Patience = PATIENCE) -> int | None:
    """The bytes of an entry's file that is not in the cache, or None if the server does not say.

    Raises UserError if it cannot be fetched. Fetches one byte at most.
    """
    try:
        size = size_of(address(entry, cache), patience.seconds)
    except FetchFailed as error:
        raise UserError(_by_hand(str(error), entry, cache)) from error
    return entry.size if size is None else size


def address(entry: Entry, cache: Cache) -> str:
    """Where an entry's file is fetched from. Raises UserError if the mirror is not an http or https URL."""
    return mirrored(entry.address, cache.mirror, cached.MIRROR)


def _wanted(entry, cache):
    path = cache.path(entry)
    return Wanted(entry.name, address(entry, cache), path, lambda part: cached.fault(part, entry), entry.size)


def _by_hand(reason, entry, cache):
    return (
        f"cannot fetch the weights {entry.name}: {reason}; by hand: fetch {address(entry, cache)} on a machine that "
        f"can, and put the file at {cache.path(entry)} (another folder: {cached.FOLDER}, a mirror: {cached.MIRROR})"
    )
