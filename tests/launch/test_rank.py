"""The program under which each rank runs."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from awsdet.launch.channel import Server
from awsdet.launch.rank import ADDRESS, FOLDER, LOST_SECONDS, TOKEN

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def server():
    server = Server("127.0.0.1", "token")
    yield server
    server.close()


@pytest.fixture
def orted(tmp_path):
    """A program with the name of Open MPI's daemon that runs a command, and then says that it is still there."""
    program = tmp_path / "orted"
    program.write_text('#!/bin/sh\n"$@"\necho "code $?"\n')
    program.chmod(0o755)
    return program


def start(server, orted, command):
    """Starts a rank as a child of `orted`."""
    variables = {ADDRESS: f"127.0.0.1:{server.port}", TOKEN: "token", LOST_SECONDS: "10", FOLDER: str(orted.parent)}
    return subprocess.Popen(
        [orted, sys.executable, "-m", "awsdet.launch.rank", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMPI_COMM_WORLD_RANK": "0", **variables},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_rank_that_ends_leaves_the_daemon_of_its_host_alone(server, orted):
    """The other ranks of the host may still run. Many, since whether the daemon was ended once depended on time."""
    daemons = [start(server, orted, ["sh", "-c", "exit 3"]) for _ in range(8)]
    assert [daemon.communicate(timeout=60)[0] for daemon in daemons] == ["code 3\n"] * 8


def test_daemon_ends_with_a_rank_whose_launcher_is_gone(server, orted):
    """It would wait for a quarter of an hour if its own connection is cut."""
    daemon = start(server, orted, ["sleep", "600"])
    assert server.events.get(timeout=60).kind == "hello"
    server.close()
    assert daemon.communicate(timeout=60)[0] == "" and daemon.returncode == -signal.SIGKILL
