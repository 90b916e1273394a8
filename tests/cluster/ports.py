"""A cluster where network namespaces are not allowed: each host is an address of 127.0.0.0/8 with an sshd of its own.

A process belongs to the host whose sshd started it, which a variable in its environment tells. Network, files and host
name are those of this machine, so a host has no cable to pull. It can have a folder of its own nevertheless: its sshd
changes the paths in the commands that it is given. Neither root nor namespaces are needed.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence

import pytest

from tests.cluster import machine
from tests.cluster.machine import Machine, left_over

PROGRAMS = ("ssh", "ssh-keygen", "setpriv", "sed", "/usr/sbin/sshd")
MARK = "HOST_OF_TEST"  # not one of the variables that the launcher passes on to other hosts

SSHD = f"""
Port {{port}}
ListenAddress {{address}}
PidFile none
SetEnv {{variable}}={{mark}}
ForceCommand {{folder}}/shell_{{address}}
{machine.SSHD}"""
# Runs what an ssh client asks for, after the replacements of `mount`.
SHELL = """#!/bin/sh
exec "${{SHELL:-/bin/sh}}" -c "$(printf '%s\\n' "$SSH_ORIGINAL_COMMAND" | sed -f {folder}/replaced_{address})"
"""
SSH = f"""
Host {{address}}
    Port {{port}}{machine.SSH}"""


def missing() -> str:
    """Why no such cluster can be made on this machine; empty if one can."""
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    return f"this machine lacks {', '.join(lacking)} (scripts/ci_packages.sh installs them)" if lacking else ""


class PortHost(Machine):
    """A host of a `PortCluster`. Its name is its address."""

    def __init__(self, number: int, folder: pathlib.Path):
        self.name = self.address = f"127.0.0.{number + 1}"
        self.hostname = socket.gethostname()
        self._folder, self._sshd, self._mounts = folder, None, []
        with socket.create_server((self.address, 0)) as free:
            self.port = free.getsockname()[1]
        self._mark = f"{self.address}:{self.port}"
        # The ssh of all programs that these processes start knows keys and ports. Open MPI leaves lo out by itself.
        path = f"{folder}/bin:{os.environ['PATH']}"
        subnet = {f"OMPI_MCA_{layer}_tcp_if_include": "127.0.0.0/8" for layer in ("btl", "oob")}
        self.variables = {MARK: self._mark, "PATH": path, **subnet}
        self._replaced = folder / f"replaced_{self.address}"
        self._replaced.write_text("")
        shell = folder / f"shell_{self.address}"
        shell.write_text(SHELL.format(folder=folder, address=self.address))
        shell.chmod(0o755)

    def enter(self, command: Sequence[str], folder: str | os.PathLike = "") -> list[str]:
        """See `Machine`: there is nothing to enter, and `start` changes to the folder."""
        return list(map(str, command))

    def has(self, process: pathlib.Path) -> bool:
        """See `Machine`."""
        return f"{MARK}={self._mark}".encode() in (process / "environ").read_bytes().split(b"\0")

    # -------------------------------------------------------------------------------------------------------- faults

    def start_sshd(self) -> None:
        """Starts sshd. It ends with this process."""
        settings = self._folder / f"sshd_config_{self.address}"
        facts = {"folder": self._folder, "address": self.address, "port": self.port}
        settings.write_text(SSHD.format(**facts, variable=MARK, mark=self._mark))
        command = ["setpriv", "--pdeathsig", "TERM", "/usr/sbin/sshd", "-D", "-e", "-f", settings]
        with (self._folder / f"sshd_log_{self.address}").open("a") as log:
            self._sshd = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1):
                return
            if self._sshd.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(pathlib.Path(log.name).read_text())
            time.sleep(0.05)

    def stop_sshd(self) -> None:
        """Ends sshd. Connections that exist stay."""
        if self._sshd is not None:
            self._sshd.kill()
            self._sshd.wait()
            self._sshd = None

    def hang_sshd(self) -> None:
        """Stops sshd: it neither answers nor refuses."""
        self._sshd.send_signal(signal.SIGSTOP)

    def freeze(self) -> None:
        """Stops all processes of this host."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen host go on."""
        self.signal(signal.SIGCONT)

    def mount(self, folder: pathlib.Path, source: pathlib.Path | None = None, options: str = "") -> None:
        """Puts something in the place of a folder: the folder `source`, or a new and empty one.

        What ssh starts on this host gets other paths. With `options` it is a real disk, which all hosts see, and the
        test is skipped if none can be mounted.
        """
        if options:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
            self._mounts.append(folder)
            return
        source = source or tempfile.mkdtemp(dir=self._folder)
        with self._replaced.open("a") as file:
            file.write(f"s|{folder}|{source}|g\n")

    def repair(self) -> None:
        """Undoes what was done to this host, and ends the processes on it."""
        self.signal(signal.SIGKILL)
        self._replaced.write_text("")
        while self._mounts:
            subprocess.run(["umount", "--lazy", self._mounts.pop()], check=True)
        if self._sshd is None:
            self.start_sshd()
        self._sshd.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends everything on this host."""
        self.repair()
        self.stop_sshd()


class PortCluster:
    """Hosts 127.0.0.2, 127.0.0.3, … as `hosts.Cluster` has them. A context; its end leaves nothing behind.

    Args:
        folder: for keys and settings.
        size: number of hosts.

    Attributes: hosts; user_key, the private key that all hosts accept; is_separate, see `hosts.Cluster`.
    """

    is_separate = False

    def __init__(self, folder: pathlib.Path, size: int = 2):
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        self.user_key = folder / "user_key"
        for path in (folder / "host_key", self.user_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        if os.getuid() == 0:
            pathlib.Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it
        self.hosts = [PortHost(number, folder) for number in range(1, size + 1)]
        facts = [{"folder": folder, "address": host.address, "port": host.port} for host in self.hosts]
        (folder / "ssh_config").write_text("".join(SSH.format(**fact) for fact in facts))
        public = " ".join((folder / "host_key.pub").read_text().split()[:2])
        known = [f"[{host.address}]:{host.port} {public}\n" for host in self.hosts]
        (folder / "known_hosts").write_text("".join(known))
        ssh = folder / "bin" / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
        ssh.chmod(0o755)

    def __enter__(self):
        try:
            for host in self.hosts:
                host.start_sshd()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for host in self.hosts:
            host.end()

    def left_over(self, seconds: float = 10) -> list[str]:
        """See `machine.left_over`."""
        return left_over(self.hosts, seconds)

    def repair(self) -> None:
        """Repairs all hosts."""
        for host in self.hosts:
            host.repair()
