"""The checks before a job, on hosts that really differ: each mistake is one line that names the host, with code 2."""

import shutil
import subprocess
import sys

import pytest

from tests.cluster.hosts import Cluster, missing
from tests.cluster.jobs import ROOT, awsdet_launch, each_host


def check(cluster, config_file, folder, *more, **environment):
    """Checks a training job on both hosts with `awsdet launch --check`. Returns Ended."""
    train = ["train", f"--config={config_file}", f"--output={folder / 'runs' / 'x'}"]
    arguments = ["--check", *more, each_host(cluster, 1), *train]
    ended = awsdet_launch(cluster, sys.executable, arguments, folder, **environment).finish()
    assert cluster.left_over() == []
    return ended


def errors(ended):
    """The lines of the errors."""
    lines = [line for line in ended.text.splitlines() if line.startswith("awsdet launch: ")]
    return [line.removeprefix("awsdet launch: ") for line in lines if "warning: " not in line]


def test_two_equal_hosts_are_ready(cluster, config_file, tmp_path):
    ended = check(cluster, config_file, tmp_path)
    assert ended.code == 0, ended.text
    assert ended.last == "ready for 2 process(es) on 2 host(s)" and errors(ended) == []
    rows = {line.split()[0]: line for line in ended.text.splitlines()}
    assert all(host.address in rows[host.name] for host in cluster.hosts)
    assert list(tmp_path.iterdir()) == []


def test_host_with_another_version(cluster, config_file, tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        shutil.copytree(ROOT / "awsdet", folder / "awsdet", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "awsdet" / "runtime" / "version.py").write_text('__version__ = "99.0"\n')
    first, second = cluster.hosts
    second.mount(mine, other)
    ended = check(cluster, config_file, tmp_path, PYTHONPATH=str(mine))
    print(
        ended.text,
        first.run(["cat", mine / "awsdet/runtime/version.py"]).stdout,
        second.run(["cat", mine / "awsdet/runtime/version.py"]).stdout,
    )
    assert ended.code == 2 and len(errors(ended)) == 1, ended.text
    assert errors(ended)[0].startswith(f"host {second.name} has awsdet 99.0") and first.name in errors(ended)[0]


def test_every_difference_of_a_host_is_named(separate_cluster, config_file, tmp_path):
    """All in one run: a user who mends them one by one would need as many runs."""
    first, second = separate_cluster.hosts
    for name in ("package", "runs"):
        (tmp_path / name).mkdir()
    shutil.copytree(ROOT / "awsdet", tmp_path / "package", dirs_exist_ok=True)
    with (tmp_path / "package" / "models" / "builder.py").open("a") as file:
        file.write("# another version\n")
    second.mount(ROOT / "awsdet", tmp_path / "package")
    other = tmp_path / "other.py"
    other.write_text(config_file.read_text().replace("epochs=2", "epochs=3"))
    second.mount(config_file, other)
    second.mount(config_file.parent / "records")
    names = tmp_path / "names"
    names.write_text("127.0.0.1 localhost\n10.77.0.1 node1\n")
    second.mount("/etc/hosts", names)
    first.mount(tmp_path / "runs", options="ro")
    ended = check(separate_cluster, config_file, tmp_path)
    assert ended.code == 2
    found = errors(ended)
    for start in (
        "host node2 has other sources of awsdet",
        f"config {config_file} on host node2 differs from that on node1",
        f"records {config_file.parent / 'records'} are missing on host node2",
        f"output {tmp_path / 'runs' / 'x'} cannot be written on host node1",
        "host node2 cannot resolve its own name node2: add '10.77.0.2 node2' to its /etc/hosts",
    ):
        assert sum(line.startswith(start) for line in found) == 1, (start, found)
    assert len(found) == 5


def test_file_that_one_host_lacks(cluster, config_file, tmp_path):
    """The config lies in a folder that only the first host has."""
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copy(config_file, mine)
    cluster.hosts[1].mount(mine)
    ended = check(cluster, mine / config_file.name, tmp_path)
    assert ended.code == 2
    assert [line.split(":")[0] for line in errors(ended)] == [
        f"config {mine / 'tiny.py'} is missing on host {cluster.hosts[1].name}"
    ]


def test_records_of_one_host_are_not_complete(separate_cluster, config_file, tmp_path):
    """One shard was not copied to its end. The host has the same manifest."""
    records = config_file.parent / "records"
    shutil.copytree(records, tmp_path / "copy")
    shard = next((tmp_path / "copy").glob("train*tfrecord*"))
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size - 1)
    separate_cluster.hosts[1].mount(records, tmp_path / "copy")
    ended = check(separate_cluster, config_file, tmp_path)
    assert ended.code == 2
    assert [line.split(":")[0] for line in errors(ended)] == [
        f"records {records} on host node2 are not complete ({shard.name})"
    ]


def test_hosts_that_do_not_reach_each_other(config_file, tmp_path):
    """The launcher reaches both, so ssh works; but the processes on the hosts would wait for each other."""
    if missing():
        pytest.skip(missing())
    with Cluster(tmp_path / "cluster", size=3) as cluster:
        cluster.hosts[1].call("ip", "route", "add", "unreachable", cluster.hosts[2].address)
        # The way back is missing as well.
        records = config_file.parent / "records"
        arguments = ["--check", "node2:1,node3:1", "evaluate", "--checkpoint=x", f"--records={records}"]
        ended = awsdet_launch(cluster, sys.executable, arguments, tmp_path).finish()
        lines = [line for line in ended.text.splitlines() if "warning" in line]
        assert [line.split(":")[2].strip() for line in lines] == [
            "host node2 gets no answer from node3",
            "host node3 gets no answer from node2",
        ]
        # Besides, neither has the checkpoint.
        assert all(line.startswith("checkpoint x is missing on host node") for line in errors(ended))


def test_host_without_sshd(cluster, config_file, tmp_path):
    """Nothing is started, and the reason comes with its cure, as in the next tests."""
    second = cluster.hosts[1]
    second.stop_sshd()
    ended = check(cluster, config_file, tmp_path)
    assert ended.code == 2 and len(errors(ended)) == 1
    assert f"host {second.name} cannot be reached by ssh" in errors(ended)[0]
    assert "start sshd there" in errors(ended)[0]


def test_host_that_does_not_take_the_key(separate_cluster, config_file, tmp_path):
    second = separate_cluster.hosts[1]
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "stranger"], check=True)
    second.mount(separate_cluster.user_key.with_suffix(".pub"), tmp_path / "stranger.pub")
    ended = check(separate_cluster, config_file, tmp_path)
    assert ended.code == 2 and len(errors(ended)) == 1
    assert "Permission denied" in errors(ended)[0] and "ssh-copy-id" in errors(ended)[0]


def test_host_that_is_cut_off(separate_cluster, config_file, tmp_path):
    separate_cluster.hosts[1].cable("down")
    ended = check(separate_cluster, config_file, tmp_path)
    assert ended.code == 2 and len(errors(ended)) == 1
    assert "host node2 cannot be reached by ssh" in errors(ended)[0] and "start the machine" in errors(ended)[0]


def test_host_whose_sshd_hangs(cluster, config_file, tmp_path):
    """It takes the connection, and then says nothing."""
    second = cluster.hosts[1]
    second.hang_sshd()
    ended = check(cluster, config_file, tmp_path)
    assert ended.code == 2 and len(errors(ended)) == 1
    assert f"host {second.name} cannot be reached by ssh" in errors(ended)[0]
    assert "start the machine" in errors(ended)[0]


def test_other_port_and_key(separate_cluster, config_file, tmp_path):
    second = separate_cluster.hosts[1]
    second.stop_sshd()
    second.start_sshd(port=2222)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "mine"], check=True)
    second.mount(separate_cluster.user_key.with_suffix(".pub"), tmp_path / "mine.pub")
    ended = check(separate_cluster, config_file, tmp_path, "--ssh-port=2222", f"--ssh-identity={tmp_path / 'mine'}")
    assert ended.code == 0, ended.text
