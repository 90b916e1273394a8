"""Measures how fast the ranks of a world exchange gradients, and whether what they get is right.

Two measurements, both through the methods of `World`:

- Steps. Every rank prepares its gradients, then all average them, as in a training step. A rank that is slow on its own
  is late for the exchange; its preparation shows that.
- Pairs. In each turn every rank swaps a message with one other rank, until all pairs have had their turn. A slow link
  shows in the pairs that use it.

Symbols: R ranks, T tensors of a step, seconds and bytes everywhere.
"""

import math
import socket
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from awsdet.runtime.progress import Progress
from awsdet.runtime.world import World

# Rank r sends (r + 1) times this ramp of small whole numbers. So sums of up to 1,600 ranks are exact in float32, and a
# value that is lost, sent twice or moved within a tensor changes the result.
_PERIOD = 13
_TOLERANCE = 1e-5  # relative; the mean is a sum times 1 / R, which is rounded
_SWAPS = 3  # per pair, of which the fastest counts; among very many ranks one, since all pairs would take long
_MANY_RANKS = 64
_FEWEST_ROUNDS, _MOST_ROUNDS = 3, 30


class RankReport(NamedTuple):
    """What one rank measured and saw."""

    rank: int
    host: str
    own: list[float]  # seconds to prepare the gradients, round by round
    exchange: list[float]  # seconds until they were averaged
    pairs: dict[int, float]  # partner -> seconds of the fastest swap
    faults: list[str]  # what was wrong with the values that it got


class Step(NamedTuple):
    """One exchange, as one rank saw it."""

    own: float  # seconds to prepare the gradients
    exchange: float  # seconds until they were averaged
    faults: list[str]


class Plan(NamedTuple):
    """What to measure: `sizes` are the T tensors' numbers of values; `rounds` 0 chooses as many as fit in `seconds`."""

    sizes: Sequence[int]
    rounds: int = 0
    seconds: float = 8.0
    pair_bytes: int = 8 * 2**20


def measure(world: World, plan: Plan) -> list[RankReport]:
    """Measures steps, then pairs. All ranks call it; each gets the reports of all ranks, in their order."""
    turns = rotation(world.size)
    exchange = Exchange(world, plan.sizes)
    faults = exchange.step().faults  # builds graphs and connections
    rounds = plan.rounds or _rounds_that_fit(world, exchange, plan.seconds)
    own, exchanged, pairs = [], [], {}
    with Progress(rounds + len(turns), "exchanging gradients", "parts", enabled=world.is_chief) as progress:
        for _ in range(rounds):
            step = exchange.step()
            own.append(step.own)
            exchanged.append(step.exchange)
            faults = faults or step.faults
            progress.add()
        for partners in turns:
            partner = partners[world.rank]
            seconds, wrong = _swap(world, partner, plan.pair_bytes // 4)
            if partner != world.rank:
                pairs[partner] = seconds
            faults = faults + wrong
            progress.add()
    faults = faults + _wrong_contributions(world, exchange, faults)
    return world.gather_objects(RankReport(world.rank, socket.gethostname(), own, exchanged, pairs, faults))


def _rounds_that_fit(world, exchange, seconds):
    """How many steps take about so many seconds, the same on all ranks; it takes one to find out."""
    step = exchange.step()
    rounds = int(seconds / max(step.own + step.exchange, 1e-6))
    return world.broadcast_object(min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, rounds)))


def rotation(size: int) -> list[list[int]]:
    """Turns in which every rank meets every other rank once, and no rank meets two at a time.

    Returns, turn by turn, the partner of each rank. If the number of ranks is odd, one rank per turn is its own
    partner.
    The first rank keeps its seat, the others move on by one seat per turn (the circle method of tournaments).
    """
    seats = list(range(size)) + ([-1] if size % 2 else [])
    turns = []
    for _ in range(len(seats) - 1 if size > 1 else 0):
        partners = list(range(size))
        for left, right in zip(seats, reversed(seats)):
            if -1 not in (left, right):
                partners[left] = right
        turns.append(partners)
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return turns


class Exchange:
    """The gradients of a step: prepared on each rank, averaged over the ranks, compared with what they must be."""

    def __init__(self, world: World, sizes: Sequence[int]):
        self._world, self._sizes = world, list(sizes)
        self._ramp = tf.constant(ramp(max(sizes) + _PERIOD))
        self._weight = tf.Variable(float(world.rank + 1), trainable=False, name="weight")
        self._mean = tf.Variable((world.size + 1) / 2, trainable=False, name="mean")
        self._prepare = tf.function(self._prepared, autograph=False)
        self._average = tf.function(self._averaged, autograph=False)
        self._compare = tf.function(self._compared, autograph=False)

    def step(self) -> Step:
        """Prepares, averages and compares the gradients once. All ranks call it together."""
        self._world.barrier()
        start = time.perf_counter()
        gradients, mark = self._prepare()
        mark.numpy()
        prepared = time.perf_counter()
        averages, mark = self._average(gradients)
        mark.numpy()
        done = time.perf_counter()
        return Step(prepared - start, done - prepared, self._faults(averages))

    def from_one(self, rank: int, mean: float) -> list[str]:
        """Averages gradients that only `rank` fills with the ramp; `mean` is what they must be multiples of."""
        before = self._weight.value(), self._mean.value()
        self._weight.assign(float(rank == self._world.rank))
        self._mean.assign(mean)
        faults = self.step().faults
        self._weight.assign(before[0])
        self._mean.assign(before[1])
        return faults

    def _slice(self, index):
        start = index % _PERIOD
        return self._ramp[start : start + self._sizes[index]]

    def _prepared(self):
        gradients = [self._slice(index) * self._weight for index in range(len(self._sizes))]
        return gradients, _mark(gradients)

    def _averaged(self, gradients):
        averages = self._world.average(gradients)
        return averages, _mark(averages)

    def _compared(self, averages):
        """Of each tensor, [T]: the place of the value that is furthest off, its relative error, the value itself."""
        rows = []
        for index, found in enumerate(averages):
            wanted = self._slice(index) * self._mean
            error = tf.abs(found - wanted) / wanted
            error = tf.where(tf.math.is_finite(error), error, error.dtype.max)
            place = tf.argmax(error)
            rows.append((place, error[place], found[place], wanted[place]))
        return [tf.stack(column) for column in zip(*rows)]

    def _faults(self, averages):
        columns = [column.numpy() for column in self._compare(averages)]
        faults = []
        for index, (place, error, found, wanted) in enumerate(zip(*columns)):
            if not error <= _TOLERANCE:
                faults.append(
                    f"tensor {index} of {self._sizes[index]} values has {found:g} instead of {wanted:g} at {place}"
                )
        return faults


def ramp(length: int) -> tf.Tensor:
    """float32 [length]: 1, 2, …, 13, 1, 2, …"""
    return tf.cast(tf.range(length) % _PERIOD + 1, tf.float32)


def _mark(tensors):
    """A number that is known only when all tensors are, also those on a GPU."""
    return tf.add_n([tensor[0] for tensor in tensors])


def _swap(world, partner, length):
    """(seconds of the fastest of some swaps with `partner`, what was wrong). `length`: float32 values per message."""
    length = max(1, length)
    message, wanted = ramp(length) * (world.rank + 1), ramp(length) * (partner + 1)
    fastest, faults = math.inf, []
    for _ in range(_SWAPS if world.size <= _MANY_RANKS else 1):
        world.barrier()
        start = time.perf_counter()
        received = world.swap(message, partner)
        received[-1].numpy()
        fastest = min(fastest, time.perf_counter() - start)
        if not faults and not bool(tf.reduce_all(received == wanted)):
            place = int(tf.argmax(tf.cast(received != wanted, tf.int8)))
            faults.append(
                f"rank {partner}'s message has {received[place]:g} instead of {wanted[place]:g} at value {place}"
            )
    return fastest, faults


def _wrong_contributions(world, exchange, faults):
    """If any rank got a wrong value: which ranks' values arrive wrongly when only they send any."""
    if not any(world.gather_objects(bool(faults))):
        return []
    found = [(rank, exchange.from_one(rank, 1 / world.size)) for rank in range(world.size)]
    return [f"the gradients of rank {rank} alone arrive wrongly: {wrong[0]}" for rank, wrong in found if wrong]


# -------------------------------------------------------------------------------------------------------------- summary


class Pair(NamedTuple):
    """A pair of ranks, or of hosts. `bandwidth`: bytes per second in each direction."""

    first: int | str
    second: int | str
    bandwidth: float


class Summary(NamedTuple):
    """What the reports of all ranks say together."""

    step_bytes: int  # of all gradients of a step
    exchange: float  # seconds of the exchange itself, without waiting for a late rank
    step: float  # seconds of preparation and exchange
    algorithm_bandwidth: float  # bytes per second
    bus_bandwidth: float
    slow_ranks: dict[int, tuple[float, float]]  # rank -> (its own seconds, those of the median rank)
    pairs: list[Pair]  # of ranks, the slowest first
    host_pairs: list[Pair]  # of different hosts, the slowest first
    slow_pairs: list[Pair]  # those of `pairs` that are much slower than the others of their kind
    faults: list[str]  # each with the rank that saw it


_SLOW = 2.0  # times as slow as the median
_NOTICEABLE = 0.02  # of the time of the exchange


def summarise(reports: Sequence[RankReport], plan: Plan) -> Summary:
    """Puts the reports of all ranks together.

    Algorithm bandwidth is S / t for S bytes in t seconds. Bus bandwidth is that times 2 (R - 1) / R: the rate at which
    each rank must send and receive, which can be compared with the speed of the hardware (nccl-tests,
    doc/PERFORMANCE.md).
    """
    ranks, step_bytes = len(reports), 4 * sum(plan.sizes)
    exchange = statistics.median(map(min, zip(*(report.exchange for report in reports))))
    step = statistics.median(
        max(own + exchanged for own, exchanged in both)
        for both in zip(*(list(zip(report.own, report.exchange)) for report in reports))
    )
    algorithm = step_bytes / exchange if ranks > 1 else 0.0
    pairs = _pairs(reports, plan.pair_bytes)
    return Summary(
        step_bytes,
        exchange if ranks > 1 else 0.0,
        step,
        algorithm,
        algorithm * 2 * (ranks - 1) / ranks,
        _slow_ranks(reports, exchange),
        pairs,
        _host_pairs(pairs, reports),
        _slow_pairs(pairs, reports),
        [f"on rank {report.rank} ({report.host}) {fault}" for report in reports for fault in report.faults],
    )


def _slow_ranks(reports, exchange):
    own = {report.rank: statistics.median(report.own) for report in reports}
    usual = statistics.median_low(own.values())
    return {
        rank: (seconds, usual)
        for rank, seconds in own.items()
        if seconds > _SLOW * usual and seconds - usual > _NOTICEABLE * exchange
    }


def _pairs(reports, pair_bytes):
    """A pair is as slow as the slower of its two ranks saw it."""
    seconds = {}
    for report in reports:
        for partner, measured in report.pairs.items():
            key = tuple(sorted((report.rank, partner)))
            seconds[key] = max(measured, seconds.get(key, 0.0))
    pairs = [Pair(first, second, pair_bytes / measured) for (first, second), measured in seconds.items()]
    return sorted(pairs, key=lambda pair: (pair.bandwidth, pair[:2]))


def _host_pairs(pairs, reports):
    """The median over the pairs of ranks of each two hosts."""
    between = {}
    for pair in pairs:
        hosts = tuple(sorted(reports[rank].host for rank in pair[:2]))
        if hosts[0] != hosts[1]:
            between.setdefault(hosts, []).append(pair.bandwidth)
    found = [Pair(*hosts, statistics.median(bandwidths)) for hosts, bandwidths in between.items()]
    return sorted(found, key=lambda pair: (pair.bandwidth, pair[:2]))


def _slow_pairs(pairs, reports):
    """Pairs within a host are compared with one another, and so are those of two hosts."""
    kinds = {True: [], False: []}
    for pair in pairs:
        kinds[reports[pair.first].host == reports[pair.second].host].append(pair)
    slow = []
    for kind in kinds.values():
        if len(kind) > 2:
            usual = statistics.median(pair.bandwidth for pair in kind)
            slow += [pair for pair in kind if pair.bandwidth * _SLOW < usual]
    return slow
