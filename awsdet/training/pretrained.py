"""Has rank 0 fetch pretrained weights before a run starts, while the other ranks wait for it.

A fetch may take longer than train.stall_seconds. So the ranks exchange a word every second meanwhile, which shows
that nobody is stalled. Only rank 0 reads weights; the others get theirs from it.
"""

import threading
from collections.abc import Callable

from awsdet.runtime.errors import RankFailed, UserError
from awsdet.runtime.together import described
from awsdet.runtime.world import World
from awsdet.weights import download, named
from awsdet.weights.cache import Cache

_WORD_SECONDS = 1.0  # between two exchanges


class Stopped(Exception):
    """A rank was told to stop, for example by SIGTERM, before the weights were there. Raised on all ranks."""


def fetch_on_chief(world: World, value: str, told: Callable[[], bool] = lambda: False) -> None:
    """Fetches the file of the pretrained weights that `value` names, on rank 0, if it is not there. All ranks call it.

    Does nothing for a path. `told`: whether this process was told to stop. Raises UserError or Stopped, on all ranks.
    """
    fetching = _Fetching(value) if world.is_chief else None
    try:
        while True:
            words = world.gather_objects((told(), fetching.wait(_WORD_SECONDS) if fetching else None))
            done, failure = words[0][1]
            if failure is not None:
                by_user, text = failure
                raise UserError(text) if by_user else RankFailed(f"rank 0 failed: {text}")
            if done:
                return
            if any(stop for stop, _ in words):
                raise Stopped
    finally:
        if fetching is not None:
            fetching.cancel()


class _Fetching:
    """A fetch in a thread of its own."""

    def __init__(self, value):
        self._error, self._cancelled = None, threading.Event()
        self._thread = threading.Thread(target=self._work, args=(value,), daemon=True)
        self._thread.start()

    def _work(self, value):
        try:
            entry = named.to_fetch(value)
            if entry is not None:
                download.fetch(entry, Cache.from_environment(), cancelled=self._cancelled.is_set)
        except download.Cancelled:
            pass
        except Exception as error:
            self._error = error

    def wait(self, seconds):
        """(whether it is over, what `described` says of its error), after so many seconds at most."""
        self._thread.join(seconds)
        return not self._thread.is_alive(), described(self._error)

    def cancel(self):
        """Ends the fetch soon, if it is not over. What has come so far is gone on with by the next one."""
        self._cancelled.set()
