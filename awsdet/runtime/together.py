"""Work that every rank does. If it fails on one rank, all ranks raise an error."""

from collections.abc import Callable
from typing import TypeVar

from awsdet.runtime.errors import RankFailed, UserError
from awsdet.runtime.world import World

Value = TypeVar("Value")


def together(world: World, function: Callable[[], Value]) -> Value:
    """Calls `function()`, waits until all ranks have done so, and returns this rank's value.

    If one rank failed and left, the others would wait for it forever in their next exchange. So the ranks tell each
    other whether they failed before any of them goes on.

    Raises:
        UserError: on all ranks, if the first rank that failed raised one. It names that rank unless it is rank 0.
        RankFailed: if the first rank that failed raised anything else. That rank raises its own exception instead.
    """
    value = error = None
    try:
        value = function()
    except Exception as caught:
        error = caught
    failures = world.gather_objects(described(error))
    if error is not None and not isinstance(error, UserError):
        raise error
    for rank, failure in enumerate(failures):
        if failure is not None:
            by_user, text = failure
            if by_user:
                raise UserError(f"{text} (on rank {rank})" if rank else text) from error
            raise RankFailed(f"rank {rank} failed: {text}") from error
    return value


def described(error: Exception | None) -> tuple[bool, str] | None:
    """What the other ranks are told: (whether it is a UserError, the text); None if this rank did not fail."""
    if error is None:
        return None
    return (True, str(error)) if isinstance(error, UserError) else (False, f"{type(error).__name__}: {error}")
