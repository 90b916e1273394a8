"""What the operators' benchmarks share: the rows of their tables, and the timing of two functions in turns."""

import concurrent.futures
import time
from typing import NamedTuple

import numpy as np


class Row(NamedTuple):
    """One comparison; times are in milliseconds, so smaller is better."""

    name: str  # the operator and the case
    ours: float
    peer_name: str
    peer: float
    aim: float | None = None  # the ratio peer / ours to be reached; None: no aim
    bytes_moved: int | None = None  # the least that must be read and written, each byte once; None: not bound by memory

    @property
    def ratio(self):
        return self.peer / self.ours

    def bandwidth_share(self, copy_bandwidth):
        """The share of `copy_bandwidth` (bytes per second) that ours reaches."""
        return None if self.bytes_moved is None else self.bytes_moved / (self.ours * 1e-3) / copy_bandwidth


def alternate(*functions, seconds=2.0, least=5, clock=time.perf_counter):
    """Milliseconds that each function takes: the shortest of `least` or more rounds in which all of them run in turn.

    `clock` may be time.process_time, for the time of all threads together. One round before them does not count, since
    first calls trace and allocate. A function must not return before its
    work is done; eager TensorFlow on the CPU and a tf.function that returns tensors satisfy this.
    """
    for function in functions:
        function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        row = []
        for function in functions:
            start = clock()
            function()
            row.append(1e3 * (clock() - start))
        times.append(row)
    return [float(value) for value in np.min(times, axis=0)]


def copy_bandwidth(threads, megabytes=128):
    """Bytes per second, reads plus writes, of copying more memory than any cache holds, with as many threads."""
    arrays = [(np.ones(megabytes << 17), np.ones(megabytes << 17)) for _ in range(threads)]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:

        def copy():
            list(pool.map(lambda pair: np.copyto(*pair), arrays))

        (milliseconds,) = alternate(copy, seconds=1.0)
    return threads * 2 * (megabytes << 20) / (milliseconds * 1e-3)
