"""What happens to a job if a process, a host or the network between hosts fails: under Gloo and under Open MPI.

In each case the job ends by itself, its last line names the rank and the host that failed first, the exit code is 1,
and no process is left on any host.
"""

import os
import signal

import pytest

from tests.cluster.jobs import exchange, rank_of


def kill_a_rank(cluster, engine, tmp_path):
    """Kills rank 1 of a job on two hosts, and checks how the job ends."""
    job = exchange(cluster, engine, tmp_path)
    assert cluster.hosts[1].signal(signal.SIGKILL, rank_of(engine)) == 1
    ended = job.finish()
    assert ended.code == 1
    assert f"rank 1 ({cluster.hosts[1].name}) failed first: ended by signal 9, SIGKILL" in ended.last
    assert cluster.left_over() == []


def test_process_of_a_rank_is_killed(cluster, engine, tmp_path):
    kill_a_rank(cluster, engine, tmp_path)


def test_all_processes_of_a_host_are_killed(cluster, engine, tmp_path):
    job = exchange(cluster, engine, tmp_path)
    assert cluster.hosts[1].signal(signal.SIGKILL) >= 2
    ended = job.finish()
    assert ended.code == 1
    assert f"rank 1 ({cluster.hosts[1].name}) failed first: its connection broke" in ended.last
    assert cluster.left_over() == []


def test_cable_is_pulled(separate_cluster, engine, tmp_path):
    """The host that is cut off ends its own processes: nobody can reach it."""
    job = exchange(separate_cluster, engine, tmp_path)
    separate_cluster.hosts[1].cable("down")
    ended = job.finish()
    assert ended.code == 1
    assert f"rank 1 ({separate_cluster.hosts[1].name}) failed first: nothing was heard from its machine" in ended.last
    assert separate_cluster.left_over(60) == []


def test_host_freezes(cluster, engine, tmp_path):
    """As long as it is frozen its processes cannot end; when it goes on, they do."""
    job = exchange(cluster, engine, tmp_path)
    cluster.hosts[1].freeze()
    ended = job.finish()
    assert ended.code == 1
    assert f"rank 1 ({cluster.hosts[1].name}) failed first: nothing was heard from its machine" in ended.last
    assert cluster.hosts[0].processes() == []
    cluster.hosts[1].thaw()
    assert cluster.left_over(60) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_does_not_get_on_is_named(cluster, engine, rank, tmp_path):
    """The machine of the rank is well and its connection too, so the ranks themselves must find out which one it is."""
    job = exchange(cluster, engine, tmp_path, lost_seconds=60, stall_seconds=4)
    assert cluster.hosts[rank].signal(signal.SIGSTOP, rank_of(engine)) == 1
    ended = job.finish()
    assert ended.code == 1
    assert ended.last.startswith(f"awsdet launch: rank {rank} ({cluster.hosts[rank].hostname}) ")
    assert cluster.left_over() == []


def test_rank_that_is_slow_is_named_and_the_job_goes_on(cluster, engine, tmp_path):
    """Each rank in turn stands still until the log names it. Nothing is lost: the sums are what they would be."""
    steps = 240
    job = exchange(cluster, engine, tmp_path, lost_seconds=60, stall_seconds=24, steps=steps)
    for rank, host in reversed(list(enumerate(cluster.hosts))):
        assert host.signal(signal.SIGSTOP, rank_of(engine)) == 1
        job.wait_for(f"rank {rank} ({host.hostname}) has ")
        assert host.signal(signal.SIGCONT, rank_of(engine)) == 1
        job.wait_for(f"rank {rank} ({host.hostname}) goes on")
    ended = job.finish()
    assert ended.code == 0, ended.text
    total = sum(number + 0.5 for number in range(steps))
    assert sum(line.endswith(f" total {total}") for line in ended.text.splitlines()) == 2
    assert "it must go on within 24 s (train.stall_seconds)" in ended.text
    # mpirun is told not to bind a rank to one core.
    assert ended.text.count(f"exchanging on {len(os.sched_getaffinity(0))} cores") == 2
    assert cluster.left_over() == []
