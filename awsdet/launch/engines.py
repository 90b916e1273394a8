"""The programs that start the processes on the hosts: horovodrun (Gloo) and mpirun (Open MPI)."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple

from awsdet.launch import horovodrun, network
from awsdet.launch.hosts import Host, host_list
from awsdet.launch.rank import ADDRESS, FOLDER, LOST_SECONDS, NCCL_INTERFACE, TOKEN
from awsdet.launch.remote import SSH_OPTIONS, Ssh
from awsdet.runtime.errors import UserError
from awsdet.runtime.stall import STORE

ENGINES = ("gloo", "mpi")
# Which variables of the launcher's environment the ranks get, by the start of their names. The others, which may be
# secrets, would be visible on the command lines of the engines.
PASSED = (
    *("AWSDET_", "HOROVOD_", "NCCL_", "GLOO_", "FI_", "RDMAV_", "EFA_", "UCX_", "OMPI_MCA_", "TF_", "XLA_", "CUDA_"),
    *("NVIDIA_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "PYTHON", "LC_"),
)
PASSED_NAMES = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "TMPDIR", "TZ")
# What an engine needs itself.
_OWN = ("HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "SHELL")
_START_SECONDS = 120


class Elastic(NamedTuple):
    """What an elastic job may do.

    least, most: numbers of processes. first: with how many it starts. script: path of the program that prints the hosts
    that there are. reset_limit: how often the world may change; 0: any number of times. timeout: how many seconds a job
    with too few processes waits for more. return_seconds: when a host that was lost may come back, from and to.
    """

    least: int
    most: int
    first: int
    script: str
    reset_limit: int = 0
    timeout: int = 600
    return_seconds: tuple[int, int] = (30, 120)


class Plan(NamedTuple):
    """A job to start. The ranks connect to the launcher at `address`, whose interface they all reach.

    command: that of each rank. hosts: empty if an elastic job finds its own. slots: per host, for those. extra_env:
    names of further environment variables that the ranks get.
    """

    engine: str
    hosts: Sequence[Host]
    command: Sequence[str]
    address: str
    ssh: Ssh
    elastic: Elastic | None = None
    slots: int = 0
    extra_env: Sequence[str] = ()
    lost_seconds: float = 30.0

    @property
    def processes(self) -> int:
        """How many processes there are at the start."""
        return self.elastic.first if self.elastic else sum(host.slots for host in self.hosts)


def check_engine(engine: str, elastic: bool = False, identity: str = "") -> None:
    """Raises UserError unless the engine's program is installed and takes the path of the ssh key."""
    if any(letter.isspace() for letter in identity):
        raise UserError(f"--ssh-identity={identity!r}: the engines cannot take a path with spaces; use another place")
    if engine == "mpi" and elastic:
        raise UserError("an elastic job needs --engine=gloo; Open MPI ends all processes as soon as one is lost")
    if engine == "mpi" and shutil.which("mpirun") is None:
        raise UserError("mpirun is not installed; install Open MPI and run make setup again, or use --engine=gloo")
    if engine == "gloo" and not horovodrun.program().is_file():
        raise UserError(f"{horovodrun.program()} is missing; run make setup")


def start_command(plan: Plan) -> list[str]:
    """The arguments of the program that starts the ranks of a plan."""
    wrapped = [sys.executable, "-m", "awsdet.launch.rank", *plan.command]
    return [*(_horovodrun if plan.engine == "gloo" else _mpirun)(plan), *wrapped]


def environment(plan: Plan, port: int, token: str, store: str) -> dict[str, str]:
    """The environment of that program; the ranks get all of it but the variables of `_OWN`.

    Args:
        port, token: of the launcher, for its ranks. store: place of their `Store`.
    """
    passed = {name: value for name, value in os.environ.items() if is_passed(name) or name in plan.extra_env}
    own = {name: os.environ[name] for name in _OWN if name in os.environ}
    ours = {ADDRESS: f"{plan.address}:{port}", TOKEN: token, LOST_SECONDS: str(plan.lost_seconds), STORE: store}
    ours[FOLDER] = os.getcwd()
    quiet = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}  # of each rank
    if "NCCL_SOCKET_IFNAME" in os.environ:
        ours[NCCL_INTERFACE] = os.environ["NCCL_SOCKET_IFNAME"]
    return {**own, **passed, **quiet, **ours}


def is_passed(name: str) -> bool:
    """Whether the ranks get an environment variable of the launcher without being asked to."""
    return name in PASSED_NAMES or name.startswith(PASSED)


def _horovodrun(plan):
    arguments = [sys.executable, "-m", horovodrun.__name__, "--gloo", "-np", str(plan.processes), "--disable-cache"]
    arguments += ["--start-timeout", str(_START_SECONDS), "--network-interfaces", network.interface_of(plan.address)]
    arguments += plan.ssh.arguments()
    if plan.elastic is None:
        return [*arguments, "-H", host_list(plan.hosts)]
    elastic = plan.elastic
    arguments += ["--min-np", str(elastic.least), "--max-np", str(elastic.most)]
    # horovodrun gives the script to a shell.
    arguments += ["--host-discovery-script", shlex.quote(elastic.script), "--elastic-timeout", str(elastic.timeout)]
    # Otherwise it never takes back a host that was lost, though a new machine may have its name.
    arguments += ["--blacklist-cooldown-range", *map(str, elastic.return_seconds)]
    arguments += ["--slots-per-host", str(plan.slots)] if plan.slots else []
    return arguments + (["--reset-limit", str(elastic.reset_limit)] if elastic.reset_limit else [])


def _mpirun(plan):
    arguments = ["mpirun", "--allow-run-as-root", "-np", str(plan.processes), "-H", host_list(plan.hosts)]
    # mpirun would bind each process to one core, and the reader with it.
    arguments += ["--bind-to", "none", "--map-by", "slot", "--mca", "pml", "ob1", "--mca", "btl", "^openib"]
    if not plan.address.startswith("127."):
        # By its network, since an interface may have another name on another host.
        subnet = network.subnet_of(plan.address)
        arguments += ["--mca", "btl_tcp_if_include", subnet, "--mca", "oob_tcp_if_include", subnet]
    # As remote.run: nobody is asked for a password.
    arguments += ["--mca", "plm_rsh_args", " ".join([*SSH_OPTIONS, *plan.ssh.arguments()])]
    # Open MPI passes its own settings on by itself, and refuses to be told to.
    names = sorted(name for name in environment(plan, 0, "", "") if name not in _OWN and not name.startswith("OMPI_"))
    return [*arguments, *(part for name in names for part in ("-x", name))]
