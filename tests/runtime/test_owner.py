"""The lock of a folder: who gets it, who is refused, and whose lock is taken over."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
from awsdet.runtime.owner import Claim, Pulse

FAST = Pulse(beat=0.02, lost=1.0)
REPOSITORY = str(pathlib.Path(__file__).parents[2])
HOLD = """
import sys, time
from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
try:
    owner.acquire(sys.argv[1], "output x")
except UserError as error:
    print("refused", error, flush=True)
else:
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "run.lock"


def start(lock):
    """A process that tries to take the lock; holds it until its stdin is closed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], env={**os.environ, "PYTHONPATH": REPOSITORY}, **pipes
    )


def end(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def put(lock, **changes):
    """Writes the lock of another process, as it would be after its last sign of life."""
    claim = Claim.of_this_process()._replace(token="1234", **changes)
    lock.write_text(json.dumps(claim._asdict()))
    return claim


def test_a_lock_says_who_and_goes_with_its_owner(lock):
    held = owner.acquire(lock, "output x")
    said = json.loads(lock.read_text())
    assert said["process"] == os.getpid() and said["host"] and said["token"] == held.token and held.is_mine()
    assert os.listdir(lock.parent) == ["run.lock"]
    held.release()
    held.release()
    assert os.listdir(lock.parent) == [] and not held.is_mine()


def test_a_second_owner_is_refused_in_one_line(lock):
    held = owner.acquire(lock, "output runs/x")
    words = f"output runs/x is being written by another run .process {os.getpid()} on"
    for attempt in (owner.acquire, owner.check_free):
        with pytest.raises(UserError, match=words) as error:
            attempt(lock, "output runs/x")
        said = str(error.value)
        assert "give another folder" in said and "\n" not in said and "remove" not in said
    held.release()
    owner.check_free(lock, "output runs/x")
    owner.acquire(lock, "output runs/x").release()


def test_of_many_starts_at_once_exactly_one_wins(lock):
    put(lock, process=2**22 + 1)  # a dead owner, which each of them may take over
    processes = [start(lock) for _ in range(6)]
    answers = [process.stdout.readline().split()[0] for process in processes]
    winner = processes[answers.index("taken")]
    assert sorted(answers) == ["refused"] * 5 + ["taken"]
    assert json.loads(lock.read_text())["process"] == winner.pid
    for process in processes:
        end(process)
    assert os.listdir(lock.parent) == ["run.lock"]


def test_a_killed_owner_leaves_a_lock_that_the_next_takes_at_once(lock, caplog):
    first = start(lock)
    assert first.stdout.readline() == "taken\n"
    with pytest.raises(UserError, match=f"process {first.pid} "):
        owner.acquire(lock, "output x")
    os.kill(first.pid, signal.SIGKILL)
    os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie, as in a container without an init
    caplog.set_level("INFO", logger="absl")
    held = owner.acquire(lock, "output x", pulse=Pulse(1000.0, 1000.0))  # without waiting
    assert f"output x: taking over from process {first.pid} on host" in caplog.text
    held.release()
    end(first)


def test_a_number_that_another_process_has_by_now(lock):
    put(lock, process=os.getpid(), started=owner._started(os.getpid()) - 1)
    owner.acquire(lock, "output x", pulse=Pulse(1000.0, 1000.0)).release()
    put(lock, process=1, started=owner._started(1))
    with pytest.raises(UserError, match="process 1 on"):
        owner.acquire(lock, "output x")


ELSEWHERE = {
    "another host": {"host": "node2", "boot": "another"},
    "another container of this machine": {"host": "pod-1", "namespace": "pid:[1]", "process": 1},
    "a container of the same name": {"namespace": "pid:[1]", "process": 1},
    "before the machine was started anew": {"boot": "another"},
    "a machine that tells nothing": {"boot": "", "namespace": ""},
}


@pytest.mark.parametrize("changes", ELSEWHERE.values(), ids=ELSEWHERE)
def test_an_owner_that_cannot_be_seen(lock, changes):
    assert put(lock, **changes).lives() is None


def test_an_owner_that_cannot_be_seen_lives_by_its_signs(lock):
    put(lock, host="node2", boot="another")
    over = threading.Event()

    def beat():
        while not over.wait(FAST.beat):
            os.utime(lock)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(UserError, match=f"on host node2, .*if you know that it no longer runs, remove {lock}"):
            owner.acquire(lock, "output x", pulse=FAST)
    finally:
        over.set()
        thread.join()
    begun = time.monotonic()
    held = owner.acquire(lock, "output x", pulse=FAST)  # it waits for the time that is left
    assert time.monotonic() - begun > FAST.lost / 2
    assert held.is_mine()
    held.release()


def test_old_signs_of_life_need_no_wait(lock):
    put(lock, host="node2", boot="another")
    os.utime(lock, (time.time() - 40,) * 2)
    held = owner.acquire(lock, "output x", pulse=Pulse(1000.0, 30.0))
    assert held.is_mine()
    held.release()


def test_an_owner_gives_signs_of_life(lock):
    held = owner.acquire(lock, "output x", pulse=FAST)
    os.utime(lock, (0, 0))
    limit = time.monotonic() + 20
    while lock.stat().st_mtime == 0 and time.monotonic() < limit:
        time.sleep(FAST.beat)
    assert lock.stat().st_mtime > 0
    held.drop()
    os.utime(lock, (0, 0))
    assert not held._thread.is_alive() and lock.exists()


@pytest.mark.parametrize("mine, taken", [("1", True), ("0", False)])
def test_a_requeued_job_of_slurm_does_not_wait(lock, monkeypatch, mine, taken):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    put(lock, host="node2", boot="another", attempt=0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", mine)
    assert Claim(**json.loads(lock.read_text())).lives() is (False if taken else None)
    if taken:
        owner.acquire(lock, "output x", pulse=Pulse(1000.0, 1000.0)).release()
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    assert put(lock, boot="another", job="77").lives() is None


def test_another_rank_of_the_same_run_takes_over(lock):
    first = owner.acquire(lock, "output x")
    second = owner.acquire(lock, "output x", known={first.token})
    assert second.is_mine() and not first.is_mine()
    first.release()  # too late: the lock is the other's
    assert second.is_mine()
    second.release()


DAMAGED = ("", "{", "[]", '{"token": "1"}', '{"token": 1, "process": "x"}', "\xff", '{"token": "../x"}')


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_lock_counts_by_its_time(lock, content):
    lock.write_text(content, encoding="latin-1")
    os.utime(lock, (0, 0))
    owner.acquire(lock, "output x", pulse=FAST).release()
    assert os.listdir(lock.parent) == []


def test_one_that_died_while_it_took_over_is_taken_over_too(lock):
    dead = put(lock, process=2**22 + 1)
    put(lock.with_name(f"run.lock.{dead.token}"), process=2**22 + 2)
    held = owner.acquire(lock, "output x")
    assert held.is_mine() and os.listdir(lock.parent) == ["run.lock"]
    held.release()


def test_a_file_system_without_hard_links(lock, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    held = owner.acquire(lock, "output x")
    with pytest.raises(UserError):
        owner.acquire(lock, "output x")
    held.release()
    assert os.listdir(lock.parent) == []


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        owner.acquire(tmp_path / "none" / "run.lock", "output x")
    owner.check_free(tmp_path / "none" / "run.lock", "output x")
