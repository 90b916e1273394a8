"""What the tests do on a host of a cluster, whatever the host is made of."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# What the settings of every sshd, and of every ssh client for a host, have in common; `folder` has the keys.
SSHD = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
MaxStartups 100
"""
SSH = """
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""


class Process(NamedTuple):
    """A process on a host: its number outside the host, and its command line."""

    pid: int
    command: str


class Machine:
    """A host of a cluster.

    Kinds of hosts add `enter` and `has`, and the faults: `start_sshd`, `stop_sshd`, `hang_sshd`, `freeze`, `thaw`,
    `mount`.

    Attributes: name, by which other hosts reach it; address; hostname, as its own processes see it; variables, those of
    its own that its processes get.
    """

    name = address = hostname = ""
    variables: Mapping[str, str] = {}

    def enter(self, command: Sequence[str], folder: str | os.PathLike = "") -> list[str]:
        """The command line that runs `command` on this host, in a folder; "": in that of this process."""
        raise NotImplementedError

    def has(self, process: pathlib.Path) -> bool:
        """Whether a process, given by its folder in /proc, runs on this host. Raises OSError if it has ended."""
        raise NotImplementedError

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] = {},
        cwd: str | os.PathLike | None = None,
        **options,
    ) -> subprocess.Popen:
        """Starts a command on this host, with the variables `environment` beside those of this process."""
        variables = {**os.environ, **self.variables, **environment}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        # A process number outside may be another one inside. So a signal for the command goes to it by `signal`.
        return subprocess.Popen(self.enter(command, cwd or ""), env=variables, cwd=cwd, **options)

    def run(self, command: Sequence[str], timeout: float = 120, **options) -> subprocess.CompletedProcess:
        """Runs a command on this host. Its stderr comes with its stdout."""
        process = self.start(command, **options)
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(command, process.returncode, out)

    def call(self, *command: str) -> None:
        """Runs a command that must succeed."""
        done = subprocess.run(self.enter(command), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")

    def processes(self, pattern: str = "") -> list[Process]:
        """The processes whose command line a regular expression finds; those of the host itself do not count."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if not self.has(folder):
                    continue
                command = (folder / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:  # it has ended
                continue
            if command and re.search(pattern, command) and not command.startswith(("sshd:", "/usr/sbin/sshd")):
                found.append(Process(int(folder.name), command))
        return sorted(found)

    def signal(self, number: int, pattern: str = "") -> int:
        """Sends a signal to the processes that `processes` finds. Returns how many there were."""
        found = self.processes(pattern)
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        return len(found)

    @contextlib.contextmanager
    def slow(self, pattern: str, seconds: float = 0.1):
        """A context in which the processes that `processes` finds are stopped for half of the time, in short turns."""
        done = threading.Event()

        def take_turns():
            number = signal.SIGSTOP
            while not done.wait(seconds):
                self.signal(number, pattern)
                number = signal.SIGCONT if number == signal.SIGSTOP else signal.SIGSTOP
            self.signal(signal.SIGCONT, pattern)

        turns = threading.Thread(target=take_turns)
        turns.start()
        try:
            yield
        finally:
            done.set()
            turns.join()


def left_over(hosts: Sequence[Machine], seconds: float = 10) -> list[str]:
    """The processes that are still there on any host after some seconds of grace, as "host: command"."""
    deadline = time.monotonic() + seconds
    while True:
        left = [f"{host.name}: {process.command}" for host in hosts for process in host.processes()]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)
