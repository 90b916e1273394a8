"""A cluster on one machine: each host is a set of Linux namespaces with a real sshd, and a bridge joins them.

A host has its own network, processes, host name, mounts, /etc/hosts and ssh settings. The file system is shared, as it
is on most clusters; `mount` gives a host a folder of its own. Nothing of a cluster is visible outside: the bridge too
lies in a network of its own. Each host ends with its first process, which ends when the pipe from this process closes,
so nothing is left even if a test run is killed.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Sequence

from tests.cluster import machine
from tests.cluster.machine import Machine, left_over

DOMAIN = "10.77.0"
PROGRAMS = ("unshare", "nsenter", "ip", "mount", "ssh", "ssh-keygen", "/usr/sbin/sshd")

# The first process of a host. It adopts and reaps what others leave behind, and reads until the pipe closes.
INIT = """
hostname {name} && mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount -t tmpfs tmpfs /dev/shm &&
mount --bind {folder}/hosts /etc/hosts && mount --bind {folder}/ssh_config /etc/ssh/ssh_config &&
{{ [ ! -d ~/.ssh ] || mount -t tmpfs tmpfs ~/.ssh; }} && ip link set lo up && echo ready && while read -r _; do :; done
"""
SSHD = f"""
Port {{port}}
ListenAddress 0.0.0.0
PidFile /run/sshd.pid
{machine.SSHD}"""
SSH = f"Host *{machine.SSH}"


def missing() -> str:
    """Why no cluster can be made on this machine; empty if one can."""
    if os.getuid() != 0:
        return "only root can make network namespaces"
    lacking = [program for program in PROGRAMS if not shutil.which(program)]
    if lacking:
        return f"this machine lacks {', '.join(lacking)} (scripts/ci_packages.sh installs them)"
    tried = subprocess.run(
        [
            "unshare",
            "--net",
            "--uts",
            "--pid",
            "--ipc",
            "--mount",
            "--fork",
            "ip",
            "link",
            "add",
            "name",
            "b",
            "type",
            "bridge",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


class Namespaces(Machine):
    """Namespaces that live as long as their first process. Attribute: pid, of that process."""

    def __init__(self, kinds: Sequence[str], script: str):
        self._unshare = subprocess.Popen(
            ["unshare", *(f"--{kind}" for kind in kinds), "--fork", "--kill-child", "bash", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said = self._unshare.stdout.readline()
        if said != "ready\n":
            raise RuntimeError(said + self._unshare.communicate()[0])
        children = pathlib.Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text()
        self.pid = int(children.split()[0])
        self._pids = os.readlink(f"/proc/{self.pid}/ns/pid")

    def enter(self, command: Sequence[str], folder: str | os.PathLike = "") -> list[str]:
        """See `Machine`."""
        return ["nsenter", "--target", str(self.pid), "--all", f"--wd={folder or os.getcwd()}", *map(str, command)]

    def end(self) -> None:
        """Ends everything in these namespaces."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._unshare.communicate()


class Host(Namespaces):
    """A host of a `Cluster`."""

    def __init__(self, name: str, number: int, folder: pathlib.Path):
        kinds = ("net", "uts", "pid", "ipc", "mount", "mount-proc")
        super().__init__(kinds, INIT.format(name=name, folder=folder))
        self.name = self.hostname = name
        self.address, self._folder = f"{DOMAIN}.{number}", folder
        self._link = f"port{number}"
        self._mounts, self._port = [], 0

    def plug_in(self, switch: Namespaces) -> None:
        """Lays a cable from the switch to this host, whose end here is eth0."""
        ends = [self._link, "type", "veth", "peer", "name", "eth0", "netns", str(self.pid)]
        # Not `switch.call`: the process numbers in its own namespace are other ones.
        subprocess.run(["nsenter", "--target", str(switch.pid), "--net", "ip", "link", "add", *ends], check=True)
        switch.call("ip", "link", "set", self._link, "master", "bridge", "up")
        self.call("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.call("ip", "link", "set", "eth0", "up")

    def has(self, process: pathlib.Path) -> bool:
        """See `Machine`; the first process of the host is not counted."""
        return int(process.name) != self.pid and os.readlink(process / "ns" / "pid") == self._pids

    # -------------------------------------------------------------------------------------------------------- faults

    def start_sshd(self, port: int = 22) -> None:
        """Starts sshd, at boot or after `stop_sshd`."""
        settings = self._folder / f"sshd_config_{port}"
        settings.write_text(SSHD.format(port=port, folder=self._folder))
        self.call("/usr/sbin/sshd", "-f", settings)
        self._port = port

    def stop_sshd(self) -> None:
        """Ends sshd. Connections that exist stay."""
        self.call("bash", "-c", "kill $(cat /run/sshd.pid) && while [ -e /run/sshd.pid ]; do sleep 0.05; done")
        self._port = 0

    def hang_sshd(self) -> None:
        """Stops sshd: it neither answers nor refuses."""
        self.call("bash", "-c", "kill -STOP $(cat /run/sshd.pid)")

    def cable(self, state: str) -> None:
        """Pulls this host's cable ("down") or puts it back ("up")."""
        self.call("ip", "link", "set", "eth0", state)

    def freeze(self) -> None:
        """Stops all processes of this host, also those of sshd, as a machine does that hangs."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen host go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        # To -1: to all processes of the namespace but its first one and the caller itself.
        self.call("bash", "-c", f"kill -{int(number)} -1 || true")  # there may be none

    def mount(self, folder: pathlib.Path, source: pathlib.Path | None = None, options: str = "size=64m") -> None:
        """Puts something in the place of a folder, for this host only: the folder `source`, or a new and empty disk."""
        what = ["--bind", str(source)] if source else ["-t", "tmpfs", "-o", options, "tmpfs"]
        self.call("mount", *what, str(folder))
        self._mounts.append(folder)

    def repair(self) -> None:
        """Undoes what was done to this host, and ends the processes on it."""
        self.cable("up")
        self.signal(signal.SIGKILL)
        self.thaw()
        self.unmount_all()
        if self._port != 22:
            if self._port:
                self.stop_sshd()
            self.start_sshd()

    def unmount_all(self) -> None:
        """Takes back every `mount`."""
        while self._mounts:
            self.call("umount", "--lazy", str(self._mounts.pop()))


class Cluster:
    """Hosts node1, node2, … on one network, which reach each other by ssh. A context; its end leaves nothing behind.

    Args:
        folder: for keys and settings.
        size: number of hosts.

    Attributes: hosts; user_key, the private key that all hosts accept; is_separate, whether each host has a network and
    files of its own.
    """

    is_separate = True

    def __init__(self, folder: pathlib.Path, size: int = 2):
        self._folder, self._switch, self.hosts = folder, None, []
        folder.mkdir(parents=True, exist_ok=True)
        self.user_key = folder / "user_key"
        for path in (folder / "host_key", self.user_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        names = {f"node{number}": f"{DOMAIN}.{number}" for number in range(1, size + 1)}
        public = " ".join((folder / "host_key.pub").read_text().split()[:2])
        known = "".join(f"{who},[{who}]:* {public}\n" for pair in names.items() for who in pair)
        (folder / "known_hosts").write_text(known)
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        (folder / "hosts").write_text("\n".join(lines) + "\n")
        (folder / "ssh_config").write_text(SSH.format(folder=folder))
        self._names = names

    def __enter__(self):
        try:
            self._switch = Namespaces(("net", "pid"), "ip link add bridge up type bridge && echo ready && read -r _")
            for number, name in enumerate(self._names, start=1):
                self.hosts.append(Host(name, number, self._folder))
                self.hosts[-1].plug_in(self._switch)
                self.hosts[-1].start_sshd()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for part in (*self.hosts, self._switch):
            if part is not None:
                part.end()
        self.hosts = []

    def left_over(self, seconds: float = 10) -> list[str]:
        """See `machine.left_over`."""
        return left_over(self.hosts, seconds)

    def repair(self) -> None:
        """Repairs all hosts."""
        for host in self.hosts:
            host.repair()
