"""The cluster for machines without namespaces. All tests of this folder run on it with AWSDET_TEST_HOSTS=ports."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.cluster.jobs import ROOT
from tests.cluster.ports import MARK, PortCluster, missing
from tests.cluster.test_faults import kill_a_rank
from tests.cluster.test_hosts import wait_until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


@pytest.fixture(scope="module")
def running_ports(tmp_path_factory):
    with PortCluster(tmp_path_factory.mktemp("ports")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running_ports):
    yield running_ports
    running_ports.repair()


def test_hosts_reach_each_other_by_ssh(cluster, tmp_path):
    first, second = cluster.hosts
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2"]
    for here, there in ((first, second), (second, first)):
        done = here.run([*ssh, there.name, f"echo ${MARK}"])
        assert done.returncode == 0 and done.stdout == f"{there.address}:{there.port}\n"
    second.mount(tmp_path / "mine", tmp_path / "other")
    assert first.run([*ssh, second.name, "echo", tmp_path / "mine"]).stdout == f"{tmp_path / 'other'}\n"
    second.hang_sshd()
    assert "timed out" in first.run([*ssh, second.name, "true"]).stdout
    second.stop_sshd()
    assert "refused" in first.run([*ssh, second.name, "true"]).stdout
    cluster.repair()
    assert first.run([*ssh, second.name, "echo", tmp_path / "mine"]).stdout == f"{tmp_path / 'mine'}\n"
    assert cluster.left_over() == []


def test_processes_are_found_by_host(cluster):
    first, second = cluster.hosts
    first.start(["ssh", "-o", "BatchMode=yes", second.name, "sleep", "1003"])
    wait_until(lambda: second.processes("^sleep 1003"))
    assert [process.command.split()[0] for process in first.processes()] == [shutil.which("ssh")]
    assert second.signal(signal.SIGKILL, "^sleep 1003") == 1
    assert cluster.left_over() == []


def test_rank_is_killed_on_hosts_without_namespaces(cluster, engine, tmp_path):
    """The ranks of the second host are those that its sshd has started."""
    kill_a_rank(cluster, engine, tmp_path)


KEPT = """
import pathlib, sys, time
from tests.cluster.ports import PortCluster
with PortCluster(pathlib.Path(sys.argv[1])) as cluster:
    print(*(host.port for host in cluster.hosts), flush=True)
    time.sleep(600)
"""


def test_no_sshd_is_left_of_a_cluster_whose_test_was_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KEPT, str(tmp_path / "cluster")]
    test = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert len(test.stdout.readline().split()) == 2
    test.kill()
    test.wait(20)
    settings = str(tmp_path / "cluster" / "sshd_config")
    wait_until(lambda: subprocess.run(["pgrep", "-f", f"sshd.*{settings}"], check=False).returncode == 1)
