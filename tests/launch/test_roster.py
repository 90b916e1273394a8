"""The hosts that an elastic job offers: only those that answer. The hosts here are names of this machine."""

import subprocess
import sys
import threading
import time

import pytest

from awsdet.launch import roster
from awsdet.launch.remote import Ssh


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """listed(answering) -> (Roster, the file that its discovery program prints, the lines that it said)."""
    monkeypatch.setattr(roster, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(roster, "_AGAIN_SECONDS", 0.05)
    file, script, made = tmp_path / "hosts", tmp_path / "hosts.sh", []
    script.write_text(f"#!/bin/sh\nexec cat {file}\n")
    script.chmod(0o755)
    file.write_text("localhost:2\n127.0.0.1:1\n")

    def make(answering):
        said = []
        made.append(roster.Roster(str(script), 0, answering, Ssh(), said.append))
        return made[-1], file, said

    yield make
    for one in made:
        one.close()


def shown(kept):
    return subprocess.run([kept.program], capture_output=True, text=True, check=True).stdout.split()


def wait_for(kept, hosts):
    deadline = time.monotonic() + 60
    while shown(kept) != hosts:
        assert time.monotonic() < deadline, shown(kept)
        time.sleep(0.05)


def test_a_new_host_is_offered_once_it_answers(listed):
    kept, file, said = listed(["localhost"])
    assert shown(kept) == ["localhost:2"]  # at once; the other one is being asked
    kept.start()
    wait_for(kept, ["localhost:2", "127.0.0.1:1"])
    assert said == ["host 127.0.0.1 answers: it takes part from now on"]
    file.write_text("127.0.0.1:4\n")
    wait_for(kept, ["127.0.0.1:4"])


def test_a_host_that_was_lost_is_asked_again(listed, monkeypatch):
    kept, _, said = listed(["localhost", "127.0.0.1"])
    monkeypatch.setattr(roster, "_TRIAL", ("sh", "-c", "echo no disk >&2; exit 3"))
    kept.lost("localhost")
    kept.start()
    wait_for(kept, ["127.0.0.1:1"])
    while not said:
        time.sleep(0.05)
    time.sleep(0.5)  # asked some more times
    assert said == ["host localhost cannot run awsdet (no disk); it takes part as soon as it answers"]
    monkeypatch.setattr(roster, "_TRIAL", (sys.executable, "-c", ""))
    wait_for(kept, ["localhost:2", "127.0.0.1:1"])


def test_nothing_is_said_of_a_host_that_answers_after_the_end(listed, monkeypatch, tmp_path):
    """It would stand below the line that says how the job ended."""
    go = tmp_path / "go"
    monkeypatch.setattr(roster, "_TRIAL", ("sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done"))
    kept, _, said = listed(["localhost"])
    asking = [thread for thread in threading.enumerate() if thread.name == "launch-ask-127.0.0.1"]
    assert len(asking) == 1
    kept.close()
    go.touch()
    asking[0].join(60)
    assert not asking[0].is_alive() and said == []


def test_a_discovery_program_that_fails_changes_nothing(listed):
    kept, file, said = listed(["localhost", "127.0.0.1"])
    file.write_text("localhost and more\n")
    kept.start()
    time.sleep(0.5)
    assert shown(kept) == ["localhost:2", "127.0.0.1:1"]
    assert len(said) == 1 and "is not a host" in said[0] and said[0].endswith("the hosts stay as they are")
