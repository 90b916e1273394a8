"""Where the ranks of a job meet before they join Horovod, whose time limits are shorter than compiling kernels takes.

They meet in the launcher's key-value store. Each leaves there whether its host has compiled kernels. Rank 0 reads what
all have left, and leaves the answer for the others. If one rank is told to stop, all learn it.
"""

import time
from collections.abc import Callable

from awsdet.runtime.stall import KeyValueStore

# The stall watch, which starts later, may have the same keys' scope.
_STOPPED, _ANSWER, _RANK = "warm.stopped", "warm.answer", "warm.rank"
_READY = "ready"
_LONGEST_PAUSE = 5.0  # seconds between two questions to the store, which many ranks ask


class Meeting:
    """The meeting of `size` ranks, of which this process is number `rank`."""

    def __init__(self, store: KeyValueStore, rank: int, size: int):
        self._store, self._rank, self._size = store, rank, size
        self._asked = 0.0

    def stop(self) -> None:
        """Tells all ranks that this one was told to stop."""
        self._store.put(_STOPPED, str(self._rank))

    def stopped(self) -> bool:
        """Whether a rank was told to stop. Asks the store every few seconds only; in between, the answer is no."""
        if time.monotonic() - self._asked < _LONGEST_PAUSE:
            return False
        self._asked = time.monotonic()
        return self._store.get(_STOPPED) is not None

    def attend(self, problem: str, pause: Callable[[list[int]], None]) -> str:
        """Waits for all ranks. Returns the problem of the first rank that has one, on all ranks; empty if none has.

        Args:
            problem: why the host of this rank has no compiled kernels, or empty.
            pause: is called time and again with the ranks that are missing, as far as this rank knows them; may raise.
        """
        missing, begun, next_time = list(range(self._size)), time.monotonic(), 0.0
        problems = {}
        while True:
            if time.monotonic() >= next_time:
                self._store.put(f"{_RANK}.{self._rank}", problem or _READY)
                answer = self._collect(missing, problems) if self._rank == 0 else self._store.get(_ANSWER)
                if answer is not None:
                    return "" if answer == _READY else answer
                next_time = time.monotonic() + min(_LONGEST_PAUSE, 0.5 + (time.monotonic() - begun) / 20)
            pause(missing if self._rank == 0 else [])

    def _collect(self, missing, problems):
        """The answer of rank 0, once nobody is missing; None before that."""
        for rank in list(missing):
            text = self._store.get(f"{_RANK}.{rank}")
            if text is not None:
                missing.remove(rank)
                if text != _READY:
                    problems[rank] = text
        if missing:
            return None
        answer = problems[min(problems)] if problems else _READY
        self._store.put(_ANSWER, answer)
        return answer
