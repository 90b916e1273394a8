"""Programs that tell which hosts there are at the moment."""

import subprocess

import pytest

from awsdet.launch import discovery
from awsdet.launch.discovery import find_program, present_hosts, wait_for_hosts, write_discovery
from awsdet.launch.hosts import parse_hosts
from awsdet.runtime.errors import UserError


def program(folder, text, name="hosts.sh"):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_hosts_that_a_program_prints(tmp_path):
    assert present_hosts(program(tmp_path, "echo h1:2; echo h2"), slots=4) == [("h1", 2), ("h2", 4)]
    assert present_hosts(program(tmp_path, "true")) == []


def test_program_in_the_working_folder(tmp_path, monkeypatch):
    program(tmp_path, "echo h1:2")
    monkeypatch.chdir(tmp_path)
    assert present_hosts("hosts.sh") == [("h1", 2)]


@pytest.mark.parametrize(
    "text, says",
    [
        ("echo no permission >&2; exit 3", "ended with code 3: no permission"),
        ("exit 1", "ended with code 1: it printed nothing"),
        ("echo h1", "h1 has no number of processes"),
        ("echo 'h1:2 and h2:2'", "is not a host"),
    ],
)
def test_programs_that_fail(tmp_path, text, says):
    with pytest.raises(UserError, match="^[^\n]*$") as caught:
        present_hosts(program(tmp_path, text))
    assert says in str(caught.value)


def test_not_a_program(tmp_path):
    (tmp_path / "hosts.txt").write_text("h1:2\n")
    for path in (tmp_path / "hosts.txt", tmp_path / "nowhere"):
        with pytest.raises(UserError, match="is not a program that can be run"):
            present_hosts(str(path))


def test_list_becomes_a_program():
    script = write_discovery("h1:2,h2:4", parse_hosts("h1:2,h2:4"))
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "h1:2\nh2:4\n"


def test_file_is_read_again_each_time(tmp_path):
    file = tmp_path / "my hosts"
    file.write_text("# all\nh1 slots=8  # first\nh2:4\n\nh3 2\nh4 slots = 3 max_slots=9\n h5 : 2\nh6:1 max-slots=4\n")
    script = write_discovery(str(file), parse_hosts(str(file)))
    assert (
        present_hosts(script)
        == parse_hosts(str(file))
        == [("h1", 8), ("h2", 4), ("h3", 2), ("h4", 3), ("h5", 2), ("h6", 1)]
    )
    file.write_text("h2:4\n")
    assert present_hosts(script) == [("h2", 4)]


def test_program_is_found_once_for_all_who_run_it(tmp_path, monkeypatch):
    path = program(tmp_path, "echo h1:2")
    monkeypatch.chdir(tmp_path)
    assert find_program("hosts.sh") == find_program("./hosts.sh") == path


def test_waits_until_there_are_enough_hosts(tmp_path, monkeypatch):
    monkeypatch.setattr(discovery, "_POLL_SECONDS", 0.01)
    said = []
    count = program(tmp_path, f"echo x >> {tmp_path}/asked; [ $(wc -l < {tmp_path}/asked) -lt 3 ] || echo h1:4")
    assert wait_for_hosts(count, 0, 4, 60, said.append) == [("h1", 4)]
    assert said == ["waiting for hosts: 0 of at least 4 processes are there"]
    with pytest.raises(UserError, match="names 4 of at least 5 processes after 0 s"):
        wait_for_hosts(count, 0, 5, 0.1, said.append)
