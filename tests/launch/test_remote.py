"""Short commands on hosts; here on this machine, and on hosts that cannot be reached. tests/cluster uses real ones."""

import shlex
import sys

import pytest

from awsdet.launch import remote
from awsdet.launch.remote import Ssh

PRINT = [
    sys.executable,
    "-c",
    "import sys; print(sys.argv[1]); print('no', file=sys.stderr); sys.exit(3)",
    "a 'b' $HOME",
]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_on_this_machine_without_ssh(host):
    assert remote.run(host, PRINT, Ssh()) == (3, "a 'b' $HOME\n", "no\n", "")


def test_command_that_takes_too_long():
    answer = remote.run("localhost", [sys.executable, "-c", "import time; time.sleep(60)"], Ssh(), seconds=0.5)
    assert answer.code is None and "did not answer within 0 s" in answer.error


def test_no_such_program():
    assert remote.run("localhost", ["/no/such/python"], Ssh()).error.startswith("cannot be reached")


@pytest.mark.parametrize(
    "said, cure",
    [
        ("x@h1: Permission denied (publickey).", "ssh-copy-id"),
        ("ssh: Could not resolve hostname h1: Name or service not known", "add it to /etc/hosts"),
        ("ssh: connect to host h1 port 22: Connection refused", "start sshd there"),
        ("ssh: connect to host h1 port 22: Connection timed out", "security group"),
        ("ssh: connect to host h1 port 22: No route to host", "correct its address"),
        ("WARNING: …\nHost key verification failed.", "ssh-keygen -R"),
        (
            "Warning: Identity file k not accessible: No such file.\nx@h1: Permission denied (publickey).",
            "--ssh-identity",
        ),
        ("Bad owner", "try ssh by hand"),
        ("", "ssh ended without a word"),
    ],
)
def test_each_failure_of_ssh_has_its_cure(said, cure):
    text = remote.ssh_error(said)
    assert cure in text and "\n" not in text


def test_what_is_sent_to_a_host_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/a b:/bin")
    monkeypatch.setenv("PYTHONPATH", "/it's")
    monkeypatch.chdir(tmp_path)
    line = remote.remote_line(["python", "-c", "print('x y')"])
    assert shlex.split(line) == [
        *("cd", str(tmp_path), "2>/dev/null;", "exec", "env"),
        *("PATH=/a b:/bin", "PYTHONPATH=/it's", "python", "-c", "print('x y')"),
    ]
