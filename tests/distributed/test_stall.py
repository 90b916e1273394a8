"""The rank that keeps the others waiting is named, and the job ends."""

import pytest

from awsdet.runtime import stall
from awsdet.runtime.stall import Ledger, patience, verdict_in


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


def test_late_rank_is_named_before_it_counts_as_stalled():
    book = ledger(limit=40)
    report(book, [7, 7, 7], 0, 0)
    for second in range(50, 60):
        report(book, [8, 7, 8], second, second)
        assert book.late(second) is None
    report(book, [8, 7, 8], 61, 61)
    assert book.late(61) == (1, "has kept the other ranks waiting for 11 s") and book.verdict(61) is None
    report(book, [8, 8, 8], 62, 62)
    assert book.late(62) is None


def test_silent_rank_is_named_before_it_counts_as_stalled():
    book = ledger(limit=40)
    report(book, [7, 7, 7], 0, 0)
    report(book, [7, 7, None], 11, 11)
    rank, complaint = book.late(11)
    assert rank == 2 and "silent for 11 s" in complaint and book.verdict(11) is None


def test_a_minute_is_enough_to_be_named():
    assert patience(600) == 60 and patience(24) == 6


def test_the_launcher_reads_which_process_is_to_be_ended():
    complaint = "has been silent for 9 s: its process is frozen or its machine is gone"
    line = "12:00:00 " + stall._VERDICT % (1, "node2", complaint, 8, stall._GOING_ON % "4711")
    assert stall.stalled_process_in(line) == ("node2", 4711) and stall.verdict_in(line) is None
    line = stall._VERDICT % (1, "node2", complaint, 8, stall._ENDING)
    assert stall.stalled_process_in(line) is None and stall.verdict_in(line) == f"rank 1 (node2) {complaint}"
    assert stall.stalled_process_in(stall._VERDICT % (1, "unknown host", complaint, 8, stall._GOING_ON % "?")) is None


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
    done = horovodrun(2, STALL.format(how=how, who=who), timeout=200)
    assert done.code != 0
    assert f"rank {who} (" in done.output and complaint in done.output and "Ending the job" in done.output
    assert "ended well" not in done.output
    if how == "sleep":
        assert "program.py" in done.output  # the stack of the rank that hangs


PAUSE = """
    import time
    import tensorflow as tf
    from awsdet.runtime import processes

    world = processes.start(2, stall_seconds=24)
    step = tf.function(lambda x: world.average([x, 2 * x]))
    for number in range(80):
        if number == 3 and world.rank == 1:
            time.sleep(13)
        step(tf.ones(3) * number)
        time.sleep(0.1)
    world.close()
    print("ended well", flush=True)
"""


def test_rank_that_is_slow_is_named_and_may_go_on(horovodrun):
    """tests/cluster has the same with processes that are frozen for a while, also that of rank 0."""
    done = horovodrun(2, PAUSE, timeout=200)
    assert done.code == 0 and done.output.count("ended well") == 2
    lines = [line for line in done.output.splitlines() if "rank 1 (" in line]
    assert len(lines) == 2 and "has kept the other ranks waiting for" in lines[0] and lines[1].endswith("goes on")
    assert "it must go on within 24 s (train.stall_seconds)" in lines[0]
    assert verdict_in(lines[0]) is None
