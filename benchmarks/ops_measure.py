"""What the operators' benchmarks share: how a row looks, how two functions are timed against each other."""

import concurrent.futures
import time
from typing import NamedTuple, Optional

import numpy as np


class Row(NamedTuple):
    """One comparison; times in milliseconds, smaller is better."""

    name: str  # the operator and the case
    ours: float
    peer_name: str
    peer: float
    aim: Optional[float] = None  # the ratio peer / ours that is wished for; None: no aim
    bytes_moved: Optional[int] = (
        None  # what must be read and written at least, each byte once; None: not bound by memory
    )

    @property
    def ratio(self):
        return self.peer / self.ours

    def bandwidth_share(self, copy_bandwidth):
        """The share of `copy_bandwidth` (bytes a second) that ours reaches."""
        return None if self.bytes_moved is None else self.bytes_moved / (self.ours * 1e-3) / copy_bandwidth


def alternate(*functions, seconds=2.0, least=5):
    """Milliseconds that each function takes: the least of at least `least` rounds in which all of them run in turn.

    One round before is not counted (tracing, memory of the first call). A function must return only when its work is
    done: eager TensorFlow on the CPU does, of a tf.function whose results are tensors.
    """
    for function in functions:
        function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        row = []
        for function in functions:
            start = time.perf_counter()
            function()
            row.append(1e3 * (time.perf_counter() - start))
        times.append(row)
    return [float(value) for value in np.min(times, axis=0)]


def copy_bandwidth(threads, megabytes=128):
    """Bytes a second, read and written both counted, of copying memory with as many threads; beyond any cache."""
    arrays = [(np.ones(megabytes << 17), np.ones(megabytes << 17)) for _ in range(threads)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def copy():
            list(pool.map(lambda pair: np.copyto(*pair), arrays))

        (milliseconds,) = alternate(copy, seconds=1.0)
    return threads * 2 * (megabytes << 20) / (milliseconds * 1e-3)
