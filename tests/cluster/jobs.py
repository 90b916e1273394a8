"""Jobs on the hosts of a cluster, launched from its first host."""

import pathlib
import re
import subprocess
import threading
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent
LONGEST = 600  # seconds for anything; a limit against hanging on a slow machine, no measurement
# Without fusion the ranks add each gradient up in one order, whatever the timing; with one thread, so does each rank.
EXACT = {"HOROVOD_FUSION_THRESHOLD": "0", "TF_NUM_INTRAOP_THREADS": "1"}

# There are more ranks than cores here, and those that wait would take the cores from the others; see tests/conftest.py.
YIELDING = {"OMPI_MCA_mpi_yield_when_idle": "1", "HOROVOD_CYCLE_TIME": "20"}


class Ended(NamedTuple):
    """A job that has ended: its exit code, all that it printed, and the last line of that."""

    code: int
    text: str
    last: str


class Job:
    """A job in the background.

    Args:
        cluster: the launcher runs on the first of its hosts.
        command: that of the launcher.
        folder: its working folder.
        environment: variables for it.
    """

    def __init__(self, cluster, command, folder, **environment):
        self._host, self._command, self._lines, self._news = cluster.hosts[0], command, [], threading.Condition()
        variables = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", **YIELDING, **environment}
        self._process = self._host.start(command, variables, cwd=folder)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, text, times=1):
        """Waits until a text has been printed in so many lines."""
        with self._news:
            self._news.wait_for(lambda: self._seen(text) >= times or not self._reader.is_alive(), LONGEST)
        assert self._seen(text) >= times, self._text()

    def signal(self, number):
        """Sends a signal to the launcher."""
        assert self._host.signal(number, "^" + re.escape(" ".join(map(str, self._command)))) == 1

    def finish(self):
        """Waits for the end. Returns Ended."""
        began = time.monotonic()
        try:
            code = self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the job hangs\n{self._text()}") from None
        self._reader.join(LONGEST)
        last = next((line for line in reversed(self._lines) if line.strip()), "")
        print(f"ended {time.monotonic() - began:.1f} s later with code {code}: {last}")  # pytest -rP shows it
        return Ended(code, self._text(), last)

    def _read(self):
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _seen(self, text):
        return sum(text in line for line in self._lines)

    def _text(self):
        return "\n".join(self._lines)


def each_host(cluster, slots):
    """The list of all hosts with so many ranks on each, for the launcher."""
    return ",".join(f"{host.name}:{slots}" for host in cluster.hosts)


def awsdet_launch(cluster, python, arguments, folder, **environment):
    """Starts a Job of `awsdet launch` with these arguments."""
    return Job(cluster, [python, "-m", "awsdet.cli.main", "launch", *map(str, arguments)], folder, **environment)


def exchange(cluster, engine, folder, lost_seconds=5, stall_seconds=600, steps=0):
    """Starts a Job of one rank per host that exchanges gradients, and waits until it does.

    Args:
        lost_seconds: how long the launcher waits for a silent host. stall_seconds: how long ranks wait for each other.
        steps: how many exchanges there are; 0: no end.
    """
    name, python = engine
    command = [python, HERE / "launch_program.py", name, each_host(cluster, 1), HERE / "exchange.py", str(lost_seconds)]
    job = Job(cluster, command, folder, AWSDET_TEST_STALL_SECONDS=str(stall_seconds), AWSDET_TEST_STEPS=str(steps))
    job.wait_for("exchanging", times=len(cluster.hosts))
    return job


def rank_of(engine):
    """Regular expression for the process of a rank of `exchange`, but not for what started it."""
    return "^" + re.escape(f"{engine[1]} {HERE / 'exchange.py'}") + "$"
