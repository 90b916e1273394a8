"""A world whose processes come and go, under horovodrun's elastic launcher; no detector is trained."""

import pathlib
import socket
import threading

import pytest
import tensorflow as tf

from awsdet.runtime import processes
from awsdet.runtime.errors import UserError
from awsdet.runtime.horovod import rank_is_gone

PROGRAM = pathlib.Path(__file__).with_name("world_program.py")
TWO = "localhost:1\n127.0.0.1:1\n"
THREE = f"localhost:1\n127.0.0.1:1\n{socket.gethostname()}:1\n"


def said(job, text):
    return [line.split(":", 1)[1] for line in job.output.splitlines() if ">:" in line and text in line]


def test_a_rank_dies_and_the_other_goes_on_in_its_trace(elastic_job):
    job = elastic_job(PROGRAM, ["one dies"], flags=["--min-np", "1"])
    assert job.code == 0, job.output
    assert said(job, "counted") == ["counted 2 1"] and said(job, "world 2") == ["world 2 0 1 10"]


def test_the_chief_is_taken_out_of_the_job_in_peace(elastic_job):
    """Horovod would end its process by an uncaught C++ exception."""
    job = elastic_job(PROGRAM, ["leaves"], flags=["--min-np", "1"])
    assert job.code == 0, job.output
    assert len(said(job, "left out:")) == 1 and said(job, "counted") == ["counted 2 1"]
    assert "terminate called" not in job.output


def test_a_stalled_rank_ends_and_the_others_go_on(elastic_job):
    job = elastic_job(PROGRAM, ["stall"], flags=["--min-np", "1"])
    assert job.code == 0, job.output
    assert "there has ended, the others go on" in job.output and "world_program.py" in job.output  # where it hung
    assert said(job, "counted") == ["counted 2 1"]


def test_a_host_comes_back_that_the_job_cannot_do_without(elastic_job):
    """horovodrun alone would take its dead process for one that runs, and the other would wait for it for ever."""
    job = elastic_job(PROGRAM, ["one dies"], flags={"least": 2, "timeout": 120, "return_seconds": (3, 4)})
    assert job.code == 0, job.output
    assert sum(line.endswith("counted 2 1") for line in job.output.splitlines()) == 2


@pytest.mark.parametrize(
    "what, hosts, options, reason",
    [
        ("one dies", TWO, {"least": 2, "timeout": 3, "return_seconds": (300, 400)}, "there were fewer than 2"),
        ("each dies", THREE, {"reset_limit": 1}, "changed more than 1 time(s) (--reset-limit)"),
    ],
)
def test_what_cannot_go_on_fails(elastic_job, what, hosts, options, reason):
    """With code 1, and the reason in the launcher's last line. test_elastic_launch has the loss of all ranks."""
    job = elastic_job(PROGRAM, [what], hosts, flags=options)
    last = job.output.splitlines()[-1]
    assert job.code == 1, job.output
    assert last.startswith("awsdet launch: the elastic job ended before it was complete: ") and reason in last, last
    assert "counted" not in job.output and "Traceback" not in job.output


@pytest.mark.parametrize(
    "message, gone",
    [
        ("Horovod has been shut down. This was caused by an exception on one of the ranks", True),
        ("Connection reset by peer [Op:HorovodGroupedAllreduce]", True),
        ("cuDNN launch failure at /opt/horovod/run.py", False),
        (None, False),
    ],
)
def test_only_horovods_end_means_that_a_rank_is_gone(message, gone):
    assert rank_is_gone(tf.errors.UnknownError(None, None, message)) == gone
    assert not rank_is_gone(tf.errors.NotFoundError(None, None, message)) and not rank_is_gone(ValueError(message))


@pytest.mark.parametrize("expected_size", [0, 1])
def test_work_that_cannot_go_on_is_refused_by_an_elastic_launcher(monkeypatch, expected_size):
    """As that of awsdet evaluate and awsdet predict."""
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    with pytest.raises(UserError, match="only train can go on while processes come and go; start this command without"):
        processes.start(expected_size)


def test_a_fixed_number_of_processes_contradicts_an_elastic_launcher(monkeypatch):
    before = threading.active_count()
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    with pytest.raises(UserError, match="--processes=2 fixes the number of processes"):
        processes.start(2, elastic=True)
    assert threading.active_count() == before
