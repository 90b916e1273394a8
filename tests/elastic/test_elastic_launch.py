"""`awsdet launch --elastic`: a rank is killed, a host joins, and the job goes on; a signal saves and ends it."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import psutil

from awsdet.inference import checkpoint
from tests.training.tiny_run import QUICK, logged_lines, make_records, write_config

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = (*QUICK, "data.batch_size=1", "train.epochs=4000", "train.commit_every_steps=1")


def ranks_of(run):
    """The processes that train into a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if f"--output={run}" in words and words[1:4] == ["-m", "awsdet.cli.main", "train"]:
            found.append(process)
    return found


def wait(process, condition):
    deadline = time.monotonic() + 400
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.5)


def test_a_killed_rank_does_not_end_the_job_and_a_signal_saves_it(tmp_path):
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, train_images=8, val_images=1))
    run, log = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    overrides = [f"--config.{setting}" for setting in SETTINGS]
    hosts, script = tmp_path / "hosts", tmp_path / "hosts.sh"
    hosts.write_text("localhost:1\n127.0.0.1:1\n")
    script.write_text(f"#!/bin/sh\ncat {hosts}\n")
    script.chmod(0o755)
    launch = ["launch", "--elastic", "--min=1", "--max=2", "--interface=lo", f"--hosts-from={script}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "awsdet.cli.main", *launch]
        + ["train", f"--config={config}", f"--output={run}", *overrides],
        stdout=(tmp_path / "said").open("w"),
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def steps():
        return logged_lines(run)[-1]["step"] if log.is_file() and log.read_text() else 0

    wait(process, lambda: steps() >= 3 and len(ranks_of(run)) == 2)
    victim = ranks_of(run)[-1]
    victim.kill()
    before = steps()
    wait(process, lambda: steps() > before + 5)
    assert len(ranks_of(run)) == 1
    hosts.write_text(f"{hosts.read_text()}{socket.gethostname()}:1\n")
    wait(process, lambda: len(ranks_of(run)) == 2)
    said = tmp_path / "said"
    wait(process, lambda: said.read_text().count("2 process(es) from step") == 2)
    before = steps()
    wait(process, lambda: steps() > before + 5)
    process.terminate()
    process.wait(200)
    out = said.read_text()
    assert process.returncode == 0, out
    assert "ended: ended by signal 9, SIGKILL" in out and "the job goes on if enough processes are left" in out
    newest = checkpoint.read_info(checkpoint.newest(run / "checkpoints"))
    assert f"stopped by SIGTERM and saved at step {newest['step']}" in out and newest["step"] > before
    assert not ranks_of(run)
    assert "Traceback" not in out


def test_an_elastic_job_that_cannot_go_on_is_one_line(tmp_path):
    """Both hosts have been lost: the ranks are killed as soon as they are there."""
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, train_images=8, val_images=1))
    run = tmp_path / "run"
    overrides = [f"--config.{setting}" for setting in SETTINGS]
    launch = ["launch", "--elastic", "--min=2", "--wait-seconds=5", "localhost:1,127.0.0.1:1"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "awsdet.cli.main",
            *launch,
            "train",
            f"--config={config}",
            f"--output={run}",
            *overrides,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    wait(process, lambda: len(ranks_of(run)) == 2)
    for rank in ranks_of(run):
        rank.kill()
    began = time.monotonic()
    out, _ = process.communicate(timeout=300)
    print(f"ended {time.monotonic() - began:.1f} s later with code {process.returncode}: {out.splitlines()[-1]}")
    assert process.returncode == 1, out
    assert out.splitlines()[-1].startswith("awsdet launch: the elastic job ended before it was complete"), out
    assert not ranks_of(run)
