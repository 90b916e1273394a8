"""Ranks as threads instead of processes."""

import threading


class ThreadWorld:
    """One of several ranks that are threads of this process, with the methods of `World` that exchange objects."""

    def __init__(self, rank, size, shared):
        self.rank, self.size, self._shared = rank, size, shared

    @classmethod
    def run(cls, size, function):
        """Calls `function(world)` on each rank. Returns its results or exceptions, rank by rank."""
        shared = {"barrier": threading.Barrier(size, timeout=60), "items": [None] * size}
        results = [None] * size

        def work(rank):
            try:
                results[rank] = function(cls(rank, size, shared))
            except Exception as error:
                results[rank] = error

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    @property
    def is_chief(self):
        return self.rank == 0

    def gather_objects(self, item):
        self._shared["items"][self.rank] = item
        self._shared["barrier"].wait()
        gathered = list(self._shared["items"])
        self._shared["barrier"].wait()
        return gathered

    def broadcast_object(self, item):
        return self.gather_objects(item)[0]
