"""The test-bed itself: what the other tests of this folder rely on."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.cluster.hosts import missing
from tests.cluster.jobs import ROOT


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_hosts_differ_and_reach_each_other_by_ssh(separate_cluster):
    first, second = separate_cluster.hosts
    for here, there in ((first, second), (second, first)):
        assert here.run(["hostname"]).stdout.strip() == here.name
        done = here.run(["ssh", "-o", "BatchMode=yes", there.name, "hostname; ip -4 -o address show eth0"])
        assert done.returncode == 0
        assert done.stdout.startswith(f"{there.name}\n") and there.address in done.stdout


def test_faults_are_real_and_repaired(separate_cluster, tmp_path):
    first, second = separate_cluster.hosts
    ssh = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=1", second.name]
    second.stop_sshd()
    assert "refused" in first.run([*ssh, "true"]).stdout
    second.cable("down")
    assert "timed out" in first.run([*ssh, "true"]).stdout
    (tmp_path / "shared").write_text("here")
    second.mount(tmp_path, options="size=64k")
    assert (tmp_path / "shared").exists() and second.run(["ls", tmp_path]).stdout == ""
    full = second.run(["dd", "if=/dev/zero", f"of={tmp_path}/big", "bs=1k", "count=100"])
    assert full.returncode and "No space left" in full.stdout
    second.start(["sleep", "1000"])
    wait_until(lambda: second.processes("sleep 1000"))
    separate_cluster.repair()
    done = first.run([*ssh, "cat", tmp_path / "shared"])
    assert done.returncode == 0 and done.stdout == "here"
    assert separate_cluster.left_over() == []


def test_processes_are_found_by_host(separate_cluster):
    first, second = separate_cluster.hosts
    process = first.start(["sleep", "1001"])
    wait_until(lambda: first.processes("^sleep 1001"))  # not nsenter, which becomes it
    assert [found.command for found in first.processes()] == ["sleep 1001"] and second.processes() == []
    assert separate_cluster.left_over(0) == ["node1: sleep 1001"]
    assert first.signal(signal.SIGKILL, "sleep 1001") == 1
    process.wait(20)
    assert separate_cluster.left_over() == []


KEPT = """
import pathlib, sys, time
from tests.cluster.hosts import Cluster
with Cluster(pathlib.Path(sys.argv[1])) as cluster:
    cluster.hosts[0].start(["sleep", "1002"], stdout=None)
    time.sleep(0.5)
    print(*(host.pid for host in cluster.hosts), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
def test_nothing_is_left_of_a_cluster_whose_test_was_killed(tmp_path):
    links = sorted(os.listdir("/sys/class/net"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KEPT, str(tmp_path / "cluster")]
    test = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    hosts = [pathlib.Path("/proc", pid) for pid in test.stdout.readline().split()]
    assert len(hosts) == 2 and all(host.exists() for host in hosts)
    test.kill()
    test.wait(20)
    wait_until(lambda: not any(host.exists() for host in hosts))
    assert subprocess.run(["pgrep", "-xf", "sleep 1002"], check=False).returncode == 1
    assert sorted(os.listdir("/sys/class/net")) == links
