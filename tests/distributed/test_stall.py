"""The rank that keeps the others waiting is named, and the job ends."""

import pytest

from awsdet.runtime.stall import Ledger


def ledger(limit=10):
    return Ledger(range(3), limit, now=0.0)


def report(ledger, counts, beat, now):
    for rank, count in enumerate(counts):
        if count is not None:
            ledger.report(rank, beat, count, now)


def test_ranks_in_step_are_well_however_long_they_compute():
    book = ledger()
    for second in range(100):
        report(book, [7, 7, 7], second, second)
        assert book.verdict(second) is None


def test_rank_behind_for_longer_than_the_limit_is_named():
    book = ledger()
    report(book, [7, 7, 7], 0, 0)
    for second in range(50, 60):
        report(book, [8, 7, 8], second, second)
        assert book.verdict(second) is None
    report(book, [8, 7, 8], 61, 61)
    rank, complaint = book.verdict(61)
    assert rank == 1 and "waiting for 11 s" in complaint


def test_slow_rank_that_catches_up_is_left_alone():
    book = ledger()
    for second in range(60):
        report(book, [second // 8 + 1, second // 8, second // 8 + 1], second, second)
        assert book.verdict(second) is None


def test_silent_rank_is_named():
    book = ledger()
    report(book, [7, 7, 7], 0, 0)
    for second in range(1, 11):
        report(book, [7, 7, None], second, second)
        assert book.verdict(second) is None
    report(book, [7, 7, None], 11, 11)
    rank, complaint = book.verdict(11)
    assert rank == 2 and "silent" in complaint


STALL = """
    import os, signal, sys, time
    import tensorflow as tf
    from absl import logging
    from awsdet.runtime import processes

    how, who = {how!r}, {who}
    world = processes.start(2, stall_seconds=3)
    step = tf.function(lambda x: world.average([x, 2 * x]))
    for number in range(5):
        if number == 3 and world.rank == who:
            if how == "sleep":
                time.sleep(60)
            os.kill(os.getpid(), signal.SIGSTOP)
        step(tf.ones(3) * number)
    print("ended well", flush=True)
"""


@pytest.mark.parametrize("how, who, complaint", [("sleep", 1, "waiting"), ("stop", 0, "silent")])
def test_stalled_rank_ends_the_job_with_its_name(horovodrun, how, who, complaint):
    done = horovodrun(2, STALL.format(how=how, who=who), timeout=60)
    assert done.code != 0
    assert f"rank {who} (" in done.output and complaint in done.output and "Ending the job" in done.output
    assert "ended well" not in done.output
    if how == "sleep":
        assert "program.py" in done.output  # the stack of the rank that hangs
