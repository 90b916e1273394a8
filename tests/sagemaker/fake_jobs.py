"""Training jobs as SageMaker starts them, without SageMaker: trees like /opt/ml, and containers made of namespaces.

A `Container` is a process tree with its own process ids, mounts, host name and network, in which our entry point is
process 1 and finds /opt/ml where it expects it. Killing process 1 kills all of it, as with a real container. It needs
root, `ip` and `unshare`, which need_containers() looks for.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]
SAGEMAKER = REPOSITORY / "sagemaker"
if str(SAGEMAKER) not in sys.path:
    sys.path.append(str(SAGEMAKER))  # its modules import each other as entry.py's neighbours

# A detector that is traced fast, on records that need no evaluation; the config file is tests/training/tiny_run.py's.
QUICK = {"model.detector": "faster_rcnn", "train.evaluate_every_epochs": "0", "train.pictures": "0"}


def make_job(root, hyperparameters, channels, hosts=("algo-1",), current="algo-1", modes=None):
    """Writes the tree of a job to `root`, as SageMaker does for one host. Returns `root`.

    channels: name -> folder whose content the channel gets. modes: name -> what inputdataconfig.json says of it.
    """
    config = root / "input" / "config"
    config.mkdir(parents=True)
    for folder in ("input/data", "model", "output/data", "checkpoints"):
        (root / folder).mkdir(parents=True)
    write = {"hyperparameters": hyperparameters, "inputdataconfig": {}}
    for name, content in channels.items():
        shutil.copytree(content, root / "input" / "data" / name)
        write["inputdataconfig"][name] = (modes or {}).get(name, {"TrainingInputMode": "File"})
    write["resourceconfig"] = {
        "current_host": current,
        "hosts": sorted(hosts),  # as strings, so algo-10 comes before algo-2
        "network_interface_name": "eth0",
    }
    for name, content in write.items():
        (config / f"{name}.json").write_text(json.dumps(content))
    return root


class Ended(NamedTuple):
    """A host that has ended. failure: the content of its failure file, or ""."""

    code: int
    log: str
    failure: str


def run_entry(root, arguments=("train",), timeout=300, python=sys.executable, **environment):
    """Runs the entry point on this machine, on the tree `root`. Returns Ended."""
    began = time.monotonic()
    done = subprocess.run(
        [python, SAGEMAKER / "entry.py", *arguments],
        env=job_environment(AWSDET_SM_ROOT=root, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    ended = Ended(done.returncode, done.stdout, failure_of(root))
    print_end("the job", began, ended)
    return ended


def print_end(who, began, ended):
    """Prints how long an end took; pytest -rP shows it."""
    print(f"{who} ended {time.monotonic() - began:.1f} s later with code {ended.code}: {ended.failure}")


def job_environment(**more):
    """The environment of a host: this one without SageMaker's variables, with `more`. No job exports unless told."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SM_", "SAGEMAKER_", "AWSDET_", "TRAINING_"))
    }
    ours = {"PYTHONPATH": str(REPOSITORY), "AWSDET_EXPORT": "0"}
    return {**kept, **ours, **{name: str(value) for name, value in more.items()}}


def failure_of(root):
    """What a host left for SageMaker to show."""
    path = root / "output" / "failure"
    return path.read_text() if path.is_file() else ""


def need_containers():
    """Skips the test if this machine cannot run containers of namespaces with sshd."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    need_programs("ip", "unshare", "sshd", "ssh-keygen", "mount")


def need_programs(*programs):
    """Skips the test if one of these programs is not installed."""
    for program in programs:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")


class Network:
    """A switch to which the containers of a test are connected. A context; at its end all is removed."""

    def __init__(self):
        self._prefix = f"sm{os.getpid()}"
        self._spaces = []

    def __enter__(self):
        self._space("switch")
        self._ip("-n", self.name("switch"), "link", "add", "bridge", "type", "bridge")
        self._ip("-n", self.name("switch"), "link", "set", "bridge", "up")
        return self

    def __exit__(self, *_):
        for space in self._spaces:
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)

    def name(self, host):
        """Name of the network namespace of a host."""
        return f"{self._prefix}-{host}"

    def connect(self, host, number):
        """Gives a host an interface eth0 with the address 10.77.0.`number`."""
        self._space(host)
        space, port = self.name(host), f"port{number}"
        self._ip("-n", space, "link", "set", "lo", "up")
        self._ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.name("switch"))
        self._ip("-n", space, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        self._ip("-n", space, "link", "set", "eth0", "up")
        self._ip("-n", self.name("switch"), "link", "set", port, "master", "bridge", "up")

    def _space(self, host):
        self._ip("netns", "add", self.name(host))
        self._spaces.append(self.name(host))

    def _ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True)


_SET_UP = """
set -e
mount -t tmpfs tmpfs /mnt
for folder in /opt/*/; do  # this Python may live in one of them
    mkdir "/mnt/$(basename "$folder")"
    mount --rbind "$folder" "/mnt/$(basename "$folder")"
done
mkdir /mnt/ml
mount --bind "$JOB_ROOT" /mnt/ml
mount --rbind /mnt /opt
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind /root /root; mount -o remount,ro,bind /root  # ssh would leave the keys of the hosts there
mount --bind "$JOB_HOSTS" /etc/hosts
hostname "$JOB_HOST"
exec "$@"
"""


class Container:
    """A host of a job, running our entry point with the argument `train`.

    Args:
        network: Network. host: name. root: the host's tree. hosts: file that becomes its /etc/hosts.
        environment: more variables.
    """

    def __init__(self, network, host, root, hosts, **environment):
        self.host, self.root = host, root
        self._log = root / "log"
        variables = job_environment(
            JOB_ROOT=root, JOB_HOSTS=hosts, JOB_HOST=host, TRAINING_JOB_NAME="tiny", PYTHONUNBUFFERED=1, **environment
        )
        isolate = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["ip", "netns", "exec", network.name(host), *isolate, "bash", "-c", _SET_UP, "job"]
                + [sys.executable, str(SAGEMAKER / "entry.py"), "train"],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self):
        """What the container has printed so far."""
        return self._log.read_text()

    @property
    def running(self):
        """Whether it has not ended."""
        return self._process.poll() is None

    def processes(self):
        """All processes in the container but its first one."""
        return [process for process in self._first().children(recursive=True) if process.is_running()]

    def signal(self, number=signal.SIGTERM):
        """Sends a signal to process 1, as `docker stop` does."""
        self._first().send_signal(number)

    def end(self, timeout=300):
        """Waits for the end. Returns Ended."""
        began = time.monotonic()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.host} did not end:\n{self.log}") from None
        ended = Ended(self._process.returncode, self.log, failure_of(self.root))
        print_end(self.host, began, ended)
        return ended

    def kill(self):
        """Kills the whole container."""
        self._process.kill()
        self._process.wait()

    def _first(self):
        return psutil.Process(self._process.pid).children()[0]


class Cluster:
    """The containers of one job. A context; at its end all are killed.

    Args:
        folder: for its trees. hosts: names. job: function that writes the tree of a host: job(root, host).
        environment: more variables of all hosts.
    """

    def __init__(self, folder, hosts, job, **environment):
        self.folder, self.hosts, self._job, self._environment = folder, hosts, job, environment
        self._network, self.containers = Network(), {}

    def __enter__(self):
        self._network.__enter__()
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        names = ["127.0.0.1 localhost", *(f"10.77.0.{n} {host}" for n, host in enumerate(self.hosts, 1))]
        (folder / "hosts").write_text("\n".join(names) + "\n")
        for number, host in enumerate(self.hosts, 1):
            self._network.connect(host, number)
        return self

    def __exit__(self, *_):
        for container in self.containers.values():
            container.kill()
        self._network.__exit__()

    def start(self, *hosts, **environment):
        """Starts containers (all by default), with a tree that is made if there is none."""
        variables = {**self._environment, **environment}
        for host in hosts or self.hosts:
            root = self.make_tree(host)
            self.containers[host] = Container(self._network, host, root, self.folder / "hosts", **variables)

    def make_tree(self, host):
        """Writes the tree of a host, unless there is one. Returns its path."""
        root = self.folder / host
        if not root.is_dir():
            self._job(root, host)
        return root

    def __getitem__(self, host):
        return self.containers[host]


def wait_until(condition, cluster, seconds=600):
    """Waits until condition() is true. Fails, with all logs, if a host ends or the time is over before."""
    deadline = time.monotonic() + seconds
    while not condition():
        alive = all(container.running for container in cluster.containers.values())
        logs = "\n".join(f"--- {c.host}\n{c.log}" for c in cluster.containers.values())
        assert alive and time.monotonic() < deadline, logs
        time.sleep(0.3)
