"""Work that all ranks do side by side: if it fails on one of them, every rank raises."""

from collections.abc import Callable
from typing import TypeVar

from awsdet.runtime.errors import UserError
from awsdet.runtime.world import World

Value = TypeVar("Value")


def together(world: World, function: Callable[[], Value]) -> Value:
    """Calls `function()` on every rank and returns this rank's value once it has succeeded on all of them.

    A rank that failed and left would keep the others waiting in their next exchange for ever. So the ranks tell each
    other how it went before any of them goes on.

    Raises:
        UserError: on all ranks, if the first rank that failed raised one; it names that rank unless it is rank 0.
        RuntimeError: the first rank that failed raised something else. That rank itself raises its own exception.
    """
    value = error = None
    try:
        value = function()
    except Exception as caught:
        error = caught
    failures = world.gather_objects(_described(error))
    if error is not None and not isinstance(error, UserError):
        raise error
    for rank, failure in enumerate(failures):
        if failure is not None:
            by_user, text = failure
            if by_user:
                raise UserError(f"{text} (on rank {rank})" if rank else text) from error
            raise RuntimeError(f"rank {rank} failed: {text}") from error
    return value


def _described(error: Exception | None) -> tuple[bool, str] | None:
    """What the other ranks are told: (whether the user can mend it, the text); None if all went well."""
    if error is None:
        return None
    return (True, str(error)) if isinstance(error, UserError) else (False, f"{type(error).__name__}: {error}")
