"""Nested dicts as one level."""

from collections.abc import Iterator, Mapping
from typing import Any


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (name, value) of all that is no dict; names are joined by points, as in "train.epochs"."""
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
