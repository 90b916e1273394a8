"""What the ranks' reports say together, and the turns in which they meet. tests/distributed measures for real."""

import itertools
import re

import numpy as np
import pytest

from awsdet.runtime.bandwidth import Exchange, Pair, Plan, RankReport, Step, measure, ramp, rotation, summarise
from awsdet.runtime.world import World


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 31, 32])
def test_in_the_rotation_every_two_ranks_meet_once_and_none_meets_two_at_a_time(size):
    met = []
    for partners in rotation(size):
        assert [partners[partner] for partner in partners] == list(range(size))  # partners are mutual
        idle = [rank for rank, partner in enumerate(partners) if rank == partner]
        assert len(idle) == size % 2
        met += [(rank, partner) for rank, partner in enumerate(partners) if rank < partner]
    assert sorted(met) == list(itertools.combinations(range(size), 2))


def report(rank, host="h1", own=0.01, exchange=0.1, pairs=(), faults=()):
    return RankReport(rank, host, [own] * 3, [exchange] * 3, dict(pairs), list(faults))


PLAN = Plan([250, 750], pair_bytes=1000)


def test_bandwidths_are_those_of_nccl_tests():
    """4,000 bytes; rank 2 comes last and waits for nobody, so its 0.1 s are those of the exchange."""
    ranks = [report(0, exchange=0.3), report(1, exchange=0.25), report(2, own=0.011, exchange=0.1), report(3)]
    ranks[3].exchange[:] = [0.2, 9.0, 0.2]
    summary = summarise(ranks, PLAN)
    assert (summary.step_bytes, summary.exchange) == (4000, 0.1)
    assert summary.algorithm_bandwidth == pytest.approx(40_000)
    assert summary.bus_bandwidth == pytest.approx(40_000 * 2 * 3 / 4)
    assert summary.step == pytest.approx(0.31)  # one round took 9 s, the median round did not
    assert not summary.slow_ranks and not summary.faults


def test_one_rank_has_no_bandwidth():
    summary = summarise([report(0)], PLAN)
    assert summary.algorithm_bandwidth == summary.bus_bandwidth == summary.exchange == 0
    assert not summary.pairs and not summary.host_pairs and not summary.slow_pairs


def test_a_rank_that_prepares_slowly_is_named():
    assert summarise([report(0), report(1, own=0.05)], PLAN).slow_ranks == {1: (0.05, 0.01)}
    # Slower than others, but the exchange takes so long that nobody would notice.
    assert not summarise([report(0, exchange=10.0), report(1, own=0.05, exchange=10.0)], PLAN).slow_ranks
    assert not summarise([report(0), report(1, own=0.015)], PLAN).slow_ranks


def test_pairs_are_as_slow_as_the_slower_rank_saw_them():
    ranks = [report(0, pairs={1: 0.5}), report(1, pairs={0: 0.25})]
    assert summarise(ranks, PLAN).pairs == [Pair(0, 1, 2000.0)]


def test_slow_pairs_are_compared_with_their_kind():
    """Between the two hosts all is ten times as slow as within; only ranks 0 and 3 are slow for their kind."""
    seconds = {(0, 1): 0.1, (2, 3): 0.1, (0, 2): 1.0, (1, 2): 1.0, (1, 3): 1.0, (0, 3): 4.0}
    ranks = []
    for rank in range(4):
        pairs = {sum(pair) - rank: value for pair, value in seconds.items() if rank in pair}
        ranks.append(report(rank, host=f"h{rank // 2}", pairs=pairs))
    summary = summarise(ranks, PLAN)
    assert summary.slow_pairs == [Pair(0, 3, 250.0)]
    assert summary.pairs[0] == Pair(0, 3, 250.0) and summary.pairs[-1].bandwidth == 10_000
    assert summary.host_pairs == [Pair("h0", "h1", 1000.0)]


def test_faults_are_told_with_the_rank_that_saw_them():
    summary = summarise([report(0), report(1, host="h2", faults=["tensor 3 …"])], PLAN)
    assert summary.faults == ["on rank 1 (h2) tensor 3 …"]


class Broken(World):
    """Changes one value of one tensor."""

    def __init__(self, change):
        self._change = change

    def average(self, gradients):
        return self._change(list(gradients))


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda g: [g[0], g[1] * 2, g[2]], r"tensor 1 of 40 values has 4 instead of 2 at"),
        (lambda g: [g[0], g[1], g[2] * float("nan")], r"tensor 2 of 1 values has nan instead of 3 at 0"),
        (lambda g: [g[0][::-1], g[1], g[2]], r"tensor 0 of 7 values has 7 instead of 1 at 0"),
        (
            lambda g: [g[0] * [1, 1, 1, 1, 1, 1, 1.001], g[1], g[2]],
            r"tensor 0 of 7 values has 7\.007 instead of 7 at 6",
        ),
    ],
)
def test_wrong_values_name_their_tensor(change, fault):
    faults = Exchange(Broken(change), [7, 40, 1]).step().faults
    assert len(faults) == 1
    assert re.search(fault, faults[0]), faults


def test_right_values_have_no_fault_and_rounding_is_none():
    assert Exchange(World(), [7, 40, 1]).step().faults == []
    assert Exchange(Broken(lambda g: [value * (1 + 1e-6) for value in g]), [7, 40, 1]).step().faults == []


def test_ramp_repeats_itself():
    assert ramp(15).numpy().tolist() == [*range(1, 14), 1, 2]


def test_measured_alone():
    (found,) = measure(World(), Plan([5, 1], rounds=4))
    assert (found.rank, len(found.own), len(found.exchange), found.pairs, found.faults) == (0, 4, 4, {}, [])
    assert np.all(np.array(found.own + found.exchange) > 0)


@pytest.mark.parametrize("seconds, rounds", [(0.125, 16), (0.01, 30), (5.0, 3)])
def test_the_first_step_does_not_decide_how_many_rounds_fit(monkeypatch, seconds, rounds):
    """It traces and connects, which takes long. With `rounds` given, nothing is decided."""
    steps = itertools.chain([Step(60.0, 60.0, [])], itertools.repeat(Step(seconds, 3 * seconds, [])))
    monkeypatch.setattr(Exchange, "step", lambda exchange: next(steps))
    (found,) = measure(World(), Plan([5], seconds=8.0))
    assert found.own == [seconds] * rounds and found.exchange == [3 * seconds] * rounds
    (found,) = measure(World(), Plan([5], rounds=2, seconds=8.0))
    assert len(found.own) == 2


def test_swap_with_a_rank_that_does_not_exist():
    with pytest.raises(ValueError, match="rank 1 does not exist"):
        World().swap([1.0], 1)
