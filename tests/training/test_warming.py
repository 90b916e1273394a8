"""The ranks of a job wait until one process per host has compiled the GPU kernels, whatever happens to that process."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from awsdet import config as base
from awsdet.launch.store import Store
from awsdet.runtime.gpu_fit import Gpu
from awsdet.training import warming
from awsdet.training.warming import Request, warm_up
from tests.training.tiny_run import make_records, write_config

ROOT = pathlib.Path(__file__).parents[2]
REQUEST = Request("config.py", ["train.epochs=2"], "runs/one", True)
STALL = base.mask_rcnn().train.stall_seconds
# Children: each notes its process number and what it was told.
NOTE = "import json, os, sys, time; open({notes!r}, 'a').write(f'{{os.getpid()}} {{sys.stdin.read()}}\\n'); "
WORKS, FAILS, HANGS = "time.sleep(0.3)", "time.sleep(0.3); print('some'); sys.exit('no more memory')", "time.sleep(99)"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of CUDA's cache; this process is rank 1 of 2."""
    folder = tmp_path / "cache"
    for name in [name for name in os.environ if name.startswith(("HOROVOD_", "OMPI_", "PMI_", "CUDA_CACHE"))]:
        monkeypatch.delenv(name)
    for name, value in {"HOROVOD_RANK": "1", "HOROVOD_SIZE": "2", "CUDA_CACHE_PATH": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(warming, "_SLEEP_SECONDS", 0.05)
    return folder


@pytest.fixture
def warm(tmp_path, cache):
    """warm(child, capability, warm_seconds, changes) -> Warmed, in this process."""

    def run(child, capability=(9, 0), seconds=100, changes=()):
        config = base.mask_rcnn()
        for change in (f"train.warm_seconds={seconds}", *changes):
            base.apply_override(config, change)
        command = [sys.executable, "-c", NOTE.format(notes=str(tmp_path / "notes")) + child]
        return warm_up(config, REQUEST, lambda: Gpu("GPU", capability), command)

    return run


def notes(tmp_path):
    """[(process number, what it was told)] of all children until now."""
    path = tmp_path / "notes"
    pairs = [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(pid), json.loads(told)) for pid, told in pairs]


def wait_for(what, seconds=60):
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit
        time.sleep(0.05)


def catches(pid, number):
    """Whether a process has a handler for a signal."""
    status = pathlib.Path("/proc", str(pid), "status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


# ---------------------------------------------------------------------------------------------------- in one process


@pytest.mark.parametrize("capability", [(7, 0), (8, 0), (8, 9), ()])
def test_nothing_happens_for_gpus_with_machine_code(tmp_path, cache, warm, capability):
    assert warm(WORKS, capability) == (False, STALL)
    assert not notes(tmp_path) and not cache.exists()


def test_nothing_happens_without_a_gpu_or_other_ranks(tmp_path, cache, warm, monkeypatch):
    config = base.mask_rcnn()
    assert warm_up(config, REQUEST) == (False, STALL)  # TensorFlow sees no GPU here
    assert warm(WORKS, seconds=0) == (False, STALL)
    monkeypatch.setenv("HOROVOD_SIZE", "1")
    assert warm(WORKS) == (False, STALL)
    monkeypatch.delenv("HOROVOD_RANK")
    assert warm(WORKS) == (False, STALL)
    assert not notes(tmp_path) and not cache.exists()


def test_a_rank_that_may_get_company_warms_up(tmp_path, cache, warm, monkeypatch):
    monkeypatch.setenv("HOROVOD_SIZE", "1")
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    assert warm(WORKS) == (False, STALL) and len(notes(tmp_path)) == 1


def test_the_child_runs_once_for_the_same_work(tmp_path, cache, warm, log):
    assert warm(WORKS) == (False, STALL)
    assert "has compiled its GPU kernels" in log.text
    ((_, told),) = notes(tmp_path)
    assert told == {**REQUEST._asdict(), "parent": os.getpid()}
    assert warm(WORKS, changes=["data.batch_size=4"]) == (False, STALL) and len(notes(tmp_path)) == 1
    warm(WORKS, changes=["model.precision=mixed_bfloat16"])
    warm(WORKS, capability=(10, 0))
    assert len(notes(tmp_path)) == 3
    for mark in cache.glob("*.json"):  # somebody empties the cache
        mark.unlink()
    warm(WORKS)
    assert len(notes(tmp_path)) == 4


def test_a_child_that_fails_is_told_and_the_job_goes_on(tmp_path, cache, warm, log):
    assert warm(FAILS, seconds=1000) == (False, 1000)
    (line,) = [record.getMessage() for record in log.records if "without compiled" in record.getMessage()]
    assert "the process that compiles failed: no more memory" in line and "for 1000 s, not 600" in line
    assert warm(FAILS, seconds=100) == (False, STALL)  # never lowered
    assert not list(cache.glob("*.json"))


def test_a_child_that_is_killed(warm, log):
    warm("os.kill(os.getpid(), 9)")
    assert "was ended by SIGKILL" in log.text
    log.clear()
    warm("os.kill(os.getpid(), 15)")  # by somebody who did not tell this process
    assert "was ended by SIGTERM" in log.text


def test_a_child_that_cannot_start(cache, log):
    config = base.mask_rcnn()
    assert warm_up(config, REQUEST, lambda: Gpu("", (9, 0)), ["/nowhere/python"]) == (False, config.train.warm_seconds)
    assert "could not be started: No such file or directory" in log.text


def test_a_child_that_hangs_is_ended(tmp_path, warm, log, monkeypatch):
    ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    monkeypatch.setattr(warming, "_END_SECONDS", 0.5)
    assert warm(ignores + HANGS, seconds=2) == (False, STALL)
    ((pid, _),) = notes(tmp_path)
    assert not psutil.pid_exists(pid) and "compiling was ended after 2 s (train.warm_seconds)" in log.text


def test_sigterm_ends_child_and_job(tmp_path, cache, warm, log):
    def tell():
        wait_for(lambda: notes(tmp_path))
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell).start()
    assert warm(HANGS) == (True, STALL)
    ((pid, _),) = notes(tmp_path)
    assert not psutil.pid_exists(pid) and "stopped by SIGTERM before the first step" in log.text
    assert not list(cache.glob("*.json")) and warm(WORKS) == (False, STALL)  # the lock is free


def test_another_job_that_compiles_is_waited_for(tmp_path, cache, warm, log, monkeypatch):
    """Its mark is enough."""
    monkeypatch.setattr(warming, "_FIRST_LINE_SECONDS", 0.2)
    warm(WORKS)
    (mark,) = cache.glob("*.json")
    content = mark.read_text()
    mark.unlink()
    with (cache / "awsdet-compiling.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def finish():
            wait_for(lambda: "minute(s) so far" in log.text)
            mark.write_text(content)
            fcntl.flock(other, fcntl.LOCK_UN)

        threading.Thread(target=finish).start()
        assert warm(WORKS) == (False, STALL)
    assert len(notes(tmp_path)) == 1
    assert "compiles GPU kernels for compute capability 9.0, which usually takes 30 minutes or longer" in log.text


def test_another_job_that_holds_the_lock_for_too_long(tmp_path, cache, warm, log):
    cache.mkdir()
    with (cache / "awsdet-compiling.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert warm(WORKS, seconds=1) == (False, STALL)
    assert not notes(tmp_path) and "another process has held" in log.text


def test_caches_that_keep_nothing_or_too_little(tmp_path, warm, log, monkeypatch):
    monkeypatch.setenv("CUDA_CACHE_MAXSIZE", "1073741824")
    assert warm(WORKS) == (False, STALL) and "CUDA_CACHE_MAXSIZE=1073741824 may be too little" in log.text
    assert len(notes(tmp_path)) == 1 and "without compiled" not in log.text
    monkeypatch.setenv("CUDA_CACHE_PATH", "/dev/null/cache")
    assert warm(WORKS, seconds=1000) == (False, 1000)
    assert len(notes(tmp_path)) == 1 and "/dev/null/cache cannot be written (Not a directory)" in log.text


# --------------------------------------------------------------------------------------------------------- two ranks


@pytest.fixture
def ranks(tmp_path):
    """ranks(child, warm_seconds, hosts) starts two ranks; hosts: folders of their CUDA caches. Ends what is left."""
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, 2, 1))
    store, started = Store("127.0.0.1", "token"), []

    def start(child, seconds=600, hosts=("one", "one")):
        for rank, host in enumerate(hosts):
            place = {"HOROVOD_RANK": rank, "HOROVOD_SIZE": 2, "HOROVOD_LOCAL_RANK": rank if hosts[0] == hosts[1] else 0}
            environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
            environment |= {"CUDA_CACHE_PATH": str(tmp_path / host), "HOROVOD_HOSTNAME": host, "PYTHONPATH": str(ROOT)}
            environment |= {"AWSDET_STALL_STORE": store.place, "TF_CPP_MIN_LOG_LEVEL": "2"}
            program = [sys.executable, "-m", "tests.training.warm_rank", config, tmp_path / "out", str(seconds)]
            command = NOTE.format(notes=str(tmp_path / "notes")) + child
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            started.append(subprocess.Popen([*program, command], env=environment, cwd=ROOT, **pipes))
        return started[-2:]

    yield start
    store.close()
    for process in started:
        process.kill()
        process.communicate()


def ended(processes):
    """[(exit code, output)] of ranks, once they have ended."""
    outputs = [process.communicate(timeout=90)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs)]


def test_hosts_wait_for_each_other_and_for_the_bad_news(tmp_path, ranks):
    """Host "two" has compiled before; "one" fails."""
    child = FAILS.replace("sys.exit", "'one' in os.environ['CUDA_CACHE_PATH'].split('/')[-1] and sys.exit")
    (code, first), (other_code, other) = ended(ranks(child, 1000, ("one", "two")))
    assert (code, other_code) == (0, 0), first + other
    assert first.endswith("warmed False 1000\n") and other.endswith("warmed False 1000\n")
    assert "(one: the process that compiles failed: no more memory)" in first and "without compiled" not in other


def test_sigterm_to_one_rank_stops_all(tmp_path, ranks):
    processes = ranks(HANGS)
    wait_for(lambda: notes(tmp_path))
    for process in processes:
        assert process.stdout.readline().startswith("ready")
    ((pid, told),) = notes(tmp_path)
    waits = next(process for process in processes if process.pid != told["parent"])
    wait_for(lambda: catches(waits.pid, signal.SIGTERM))
    waits.send_signal(signal.SIGTERM)
    (code, first), (other_code, other) = ended(processes)
    assert (code, other_code) == (0, 0), first + other
    assert first.endswith("warmed True 600\n") and other.endswith("warmed True 600\n")
    assert not psutil.pid_exists(pid)
