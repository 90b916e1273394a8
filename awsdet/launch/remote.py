"""Runs short commands on the hosts of a job: by ssh, or directly if the host is this machine."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from awsdet.launch.network import is_local
from awsdet.launch.orphans import end_with_parent

# A host key that is not known yet is taken, a changed one is refused, and nobody is asked for a password.
SSH_OPTIONS = ("-oBatchMode=yes", "-oStrictHostKeyChecking=accept-new", "-oConnectTimeout=10", "-oLogLevel=ERROR")
_SSH_FAILED = 255  # the exit code of ssh itself
# What ssh says, in lower case -> what to do about it.
_CURES = {
    "permission denied": "allow this machine's key there (ssh-copy-id), or give --ssh-identity",
    "could not resolve": "correct its name, or add it to /etc/hosts",
    "connection refused": "start sshd there, or give --ssh-port",
    "timed out": "start the machine, and let this one through its firewall or security group",
    "no route to host": "start the machine, or correct its address",
    "host key verification failed": "its key has changed: check why, then ssh-keygen -R it",
    "identity file": "correct --ssh-identity",
}


class Ssh(NamedTuple):
    """How to reach the hosts by ssh. port 0 and an empty identity leave it to ~/.ssh/config."""

    port: int = 0
    identity: str = ""

    def arguments(self) -> list[str]:
        """As arguments of the ssh program."""
        port = ["-p", str(self.port)] if self.port else []
        return [*port, *(["-i", self.identity] if self.identity else [])]


class Answer(NamedTuple):
    """What came of a command. code is None if the host could not be reached; error then says why, and the cure."""

    code: int | None
    out: str = ""
    err: str = ""
    error: str = ""


def run(host: str, command: Sequence[str], ssh: Ssh, seconds: float = 60.0) -> Answer:
    """Runs a command on a host in this process's working folder, with its PATH and PYTHONPATH.

    Args:
        host: name. command: its arguments. ssh: Ssh. seconds: after which the host is given up.
    """
    if is_local(host):
        arguments = list(command)
    else:
        arguments = [*_ssh(host, ssh), remote_line(command)]
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            preexec_fn=end_with_parent(),
        )
    except subprocess.TimeoutExpired:
        return Answer(None, error=f"did not answer within {seconds:.0f} s; look at its load and its disks")
    except OSError as error:
        return Answer(None, error=f"cannot be reached: {error}")
    if done.returncode == _SSH_FAILED and arguments[0] == "ssh":
        return Answer(None, error=ssh_error(done.stderr))
    return Answer(done.returncode, done.stdout, done.stderr)


def _ssh(host, ssh):
    return ["ssh", *SSH_OPTIONS, *ssh.arguments(), host]


def remote_line(command: Sequence[str]) -> str:
    """The line for the shell of a host that runs a command in this process's working folder."""
    passed = [f"{name}={shlex.quote(os.environ[name])}" for name in ("PATH", "PYTHONPATH") if name in os.environ]
    folder = shlex.quote(os.getcwd())
    # The folder may be missing there; what needs it says so itself.
    return f"cd {folder} 2>/dev/null; exec env {' '.join(passed)} {shlex.join(command)}"


def ssh_error(said: str) -> str:
    """What is wrong with a host, in one line, from what ssh said on stderr."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else "ssh ended without a word"
    cure = next((cure for words, cure in _CURES.items() if words in said.lower()), "try ssh by hand")
    return f"cannot be reached by ssh ({reason}): {cure}"
