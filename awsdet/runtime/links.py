"""What connects the processes of a run: network interface, EFA, NVLink, and what NCCL says that it uses."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from typing import NamedTuple


class Links(NamedTuple):
    """The links of one machine, as one of its processes sees them."""

    interface: str  # or subnet, that Gloo or MPI uses; empty if it is not known
    megabits: int  # per second, as its driver reports; 0 if it does not
    efa: list[str]  # names of the EFA devices
    gpus: int
    nvlink: list[str]  # kinds of NVLink connections between the GPUs, such as NV12
    network: str  # that NCCL chose, such as "AWS Libfabric"; empty if NCCL did not say
    nccl_paths: list[str]  # that NCCL uses between ranks, such as "P2P/IPC" or "NET/AWS Libfabric/0/GDRDMA"


def look(nccl_log: str = "") -> Links:
    """Looks at this machine. `nccl_log`: what NCCL wrote with NCCL_DEBUG=INFO."""
    interface = chosen_interface()
    topology = _output(["nvidia-smi", "topo", "-m"])
    gpus = [line for line in _output(["nvidia-smi", "-L"]).splitlines() if line.startswith("GPU ")]
    network, paths = nccl_choices(nccl_log)
    return Links(interface, speed(interface), efa_devices(), len(gpus), nvlinks(topology), network, paths)


def chosen_interface() -> str:
    """The interface, or with Open MPI the subnet, that the launcher chose; empty if it chose none."""
    return os.environ.get("HOROVOD_GLOO_IFACE") or os.environ.get("OMPI_MCA_btl_tcp_if_include", "")


def speed(interface: str, root: str = "/sys/class/net") -> int:
    """Megabits per second of an interface; 0 if its driver does not say, as for the loopback and most virtual ones."""
    try:
        return max(0, int(pathlib.Path(root, interface or "-", "speed").read_text()))
    except (OSError, ValueError):
        return 0


def efa_devices(root: str = "/sys/class/infiniband") -> list[str]:
    """Names of the devices that the driver "efa" runs."""
    found = []
    for device in sorted(pathlib.Path(root).glob("*")):
        if (device / "device" / "driver").resolve().name == "efa":
            found.append(device.name)
    return found


def nvlinks(topology: str) -> list[str]:
    """The kinds of NVLink in the table of `nvidia-smi topo -m`: ["NV12"]; empty if its GPUs are joined otherwise."""
    rows = [line.split() for line in topology.splitlines() if re.match(r"GPU\d+\s", line)]
    return sorted({cell for row in rows for cell in row[1:] if re.fullmatch(r"NV\d+", cell)})


def nccl_choices(log: str) -> tuple[str, list[str]]:
    """(network, paths between ranks) out of what NCCL writes with NCCL_DEBUG=INFO: the last network that it names."""
    networks = re.findall(r"NCCL INFO (?:\[\d+\] )?Using network (.+?)\s*$", log, re.MULTILINE)
    paths = re.findall(r"NCCL INFO Channel .*? via ((?:P2P|SHM|NET|COLLNET|NVLS)\S*(?: Libfabric\S*)?)", log)
    return (networks[-1] if networks else ""), sorted(set(paths))


class NcclLog:
    """Makes NCCL write what it does to a file. Create it before the first exchange. Without nvidia-smi it does nothing.

    If the user has set NCCL_DEBUG, NCCL writes what the user wants, where the user wants it.
    """

    def __init__(self):
        self._folder = None
        if shutil.which("nvidia-smi") and "NCCL_DEBUG" not in os.environ and "NCCL_DEBUG_FILE" not in os.environ:
            self._folder = tempfile.TemporaryDirectory(prefix="awsdet-nccl-")
            os.environ["NCCL_DEBUG"] = "INFO"
            os.environ["NCCL_DEBUG_FILE"] = f"{self._folder.name}/%h.%p"

    def read(self) -> str:
        """What NCCL has written so far, in this process."""
        if self._folder is None:
            return ""
        return "\n".join(path.read_text(errors="replace") for path in pathlib.Path(self._folder.name).iterdir())

    def close(self) -> None:
        """Removes the file."""
        if self._folder is not None:
            self._folder.cleanup()


def _output(command):
    """What a program prints; empty if it is not there or fails."""
    if not shutil.which(command[0]):
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""
