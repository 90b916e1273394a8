"""The checks before a job: what is found in the reports of hosts, and a real report of this machine."""

import copy
import pathlib

import pytest

from awsdet.launch import checks, probe
from awsdet.launch.checks import Question, compare, examine, table
from awsdet.launch.hosts import Host
from awsdet.launch.remote import Ssh

ROOT = pathlib.Path(__file__).parents[2]
HOSTS = [Host("h1", 8), Host("h2", 8)]
QUESTION = Question("c.py", "runs/x", ["/records"], checkpoint="runs/y", needs_mpi=True)
REPORT = {
    "host": "ip-1",
    "own_name_resolves": True,
    "python": "3.11.7",
    "packages": {"awsdet": "0.1.0", "tensorflow": "2.15.1", "horovod": "0.28.1", "numpy": "1.26.4"},
    "sources": "aaaa",
    "operators": "bbbb",
    "clock_ahead": 0.3,
    "gpus": [3] * 8,
    "addresses": {"lo": "127.0.0.1", "ens5": "10.0.0.1"},
    "reaches_launcher": True,
    "config": "cccc",
    "checkpoint": "9999",
    "horovod_mpi": True,
    "unreached": [],
    "records": {"/records": "dddd"},
    "broken_shards": {"/records": []},
    "output": None,
    "efa": 4,
    "nccl_plugin": "/opt/amazon/ofi-nccl/lib/libnccl-net.so",
    "instance_type": "p4d.24xlarge",
    "memory_gb": 1000.0,
}


def found(**changes):
    """(whether it is an error, text) of each finding if the second host differs from the first in `changes`."""
    reports = {"h1": copy.deepcopy(REPORT), "h2": {**copy.deepcopy(REPORT), **changes}}
    reports["h1"]["output"] = [True, 1e12]
    return [tuple(finding) for finding in compare(HOSTS, reports, QUESTION)]


def packages(**changes):
    return {**REPORT["packages"], **changes}


def test_equal_hosts_are_fine():
    assert found() == []


@pytest.mark.parametrize(
    "changes, says",
    [
        (
            {"own_name_resolves": False},
            "host h2 cannot resolve its own name ip-1: add '10.0.0.1 ip-1' to its /etc/hosts",
        ),
        ({"reaches_launcher": "timed out"}, "host h2 cannot reach the launcher (timed out)"),
        ({"packages": packages(horovod=None)}, "host h2 has no Horovod"),
        ({"packages": packages(tensorflow="2.14.0")}, "host h2 has tensorflow 2.14.0 (2.15.1 on h1)"),
        ({"packages": packages(tensorflow="2.14.0")}, "run make setup there"),
        ({"python": "3.10.2"}, "host h2 has Python 3.10.2 (3.11.7 on h1)"),
        ({"sources": "eeee"}, "host h2 has other sources of awsdet 0.1.0 than h1"),
        ({"operators": None}, "host h2 has no compiled operators"),
        ({"gpus": [3] * 4}, "host h2 has 4 GPU(s) for 8 processes: write h2:4"),
        ({"gpus": None}, "host h2 shows no GPU, but h1 does"),
        ({"config": None}, "config c.py is missing on host h2"),
        ({"config": "ffff"}, "config c.py on host h2 differs from that on h1"),
        ({"records": {"/records": None}}, "records /records are missing on host h2"),
        ({"records": {"/records": "ffff"}}, "records /records on host h2 are others than on h1"),
        ({"horovod_mpi": False}, "the Horovod of host h2 was built without MPI"),
        ({"checkpoint": None}, "checkpoint runs/y is missing on host h2"),
        ({"checkpoint": "ffff"}, "checkpoint runs/y on host h2 is another than on h1"),
        (
            {"broken_shards": {"/records": ["train-0", "train-1"]}},
            "records /records on host h2 are not complete (train-0 and 1 more)",
        ),
        (
            {"output": ["/runs: Permission denied", 1e12]},
            "output runs/x cannot be written on host h2: /runs: Permission",
        ),
    ],
)
def test_errors(changes, says):
    errors = [text for is_error, text in found(**changes) if is_error]
    assert any(says in text for text in errors) and all("\n" not in text for text in errors)


@pytest.mark.parametrize(
    "changes, says",
    [
        ({"gpus": [3, 3, 40000] + [3] * 5}, "GPU 2 of host h2 is in use (40000 MB)"),
        ({"clock_ahead": 61.0}, "the clock of host h2 is 61 s ahead"),
        ({"clock_ahead": -61.0}, "the clock of host h2 is 61 s behind"),
        ({"unreached": ["h3", "h4"]}, "host h2 gets no answer from h3, h4: let all traffic"),
        ({"operators": "ffff"}, "another build than on h1"),
        ({"efa": 0}, "host h2 (p4d.24xlarge) could have EFA, but shows none"),
        ({"nccl_plugin": None}, "host h2 has EFA, but no NCCL plug-in"),
        ({"output": [True, 1e9]}, "has only 1.0 GB left"),
    ],
)
def test_warnings_do_not_stop_a_job(changes, says):
    findings = found(**changes)
    assert [is_error for is_error, _ in findings] == [False] and says in findings[0][1]


def test_gpus_that_no_process_takes_may_be_in_use():
    reports = {"h1": {**REPORT, "gpus": [3] * 7 + [9000]}}
    assert compare([Host("h1", 7)], reports, QUESTION) == []


@pytest.mark.parametrize(
    "visible, gpus", [(None, [5, 70, 0]), ("1", [70]), ("2, 0", [0, 5]), ("GPU-9a1b,GPU-77aa", [0, 0]), ("", [])]
)
def test_gpus_that_the_ranks_may_use(monkeypatch, tmp_path, visible, gpus):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '5\\n70\\n[N/A]\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert probe._gpus(visible) == gpus
    program.write_text("#!/bin/sh\nexit 9\n")
    assert probe._gpus(visible) is None


def test_table_has_a_row_for_each_host():
    lines = table(HOSTS, {"h1": REPORT})
    assert len(lines) == 3
    assert "0.1.0 (aaaa)" in lines[1] and "10.0.0.1" in lines[1] and lines[2].split()[:3] == ["h2", "8", "-"]


def test_this_machine(tmp_path):
    """A real probe; the same host under two names, so that files are looked at."""
    config = tmp_path / "c.py"
    config.write_text("x = 1")
    records = tmp_path / "records"
    records.mkdir()
    (records / "train.manifest.json").write_text("{}")
    hosts = [Host("localhost", 1), Host("127.0.0.1", 1)]
    question = Question(str(config), str(tmp_path / "run" / "deep"), [str(records)], ("127.0.0.1", 0))
    examination = examine(hosts, Ssh(), question)
    assert examination.errors == []
    report = examination.reports["127.0.0.1"]
    assert report["reaches_launcher"] is True and report["packages"]["tensorflow"] == "2.15.1"
    assert abs(report["clock_ahead"]) < 5 and report["output"] is None
    assert examination.reports["localhost"]["output"][0] is True
    assert not (tmp_path / "run").exists()

    checkpoint = str(tmp_path / "run")
    missing = question._replace(
        config=str(tmp_path / "no.py"), output="/proc/x", records=[str(tmp_path)], checkpoint=checkpoint
    )
    errors = "\n".join(examine(hosts, Ssh(), missing).errors)
    for host in ("localhost", "127.0.0.1"):
        assert (
            f"no.py is missing on host {host}" in errors and f"records {tmp_path} are missing on host {host}" in errors
        )
        assert f"checkpoint {checkpoint} is missing on host {host}" in errors
    assert "output /proc/x cannot be written on host localhost" in errors


def test_checkpoint_that_a_path_stands_for(tmp_path):
    """As awsdet evaluate takes it: the checkpoint itself, the best one, or the newest."""
    digests = {}
    for name in ("step-00000001", "step-00000002"):
        folder = tmp_path / "run" / "checkpoints" / name
        folder.mkdir(parents=True)
        (folder / "checkpoint.json").write_text(name)
        digests[name] = probe._checkpoint(folder)
    assert len(set(digests.values())) == 2
    for path in (tmp_path / "run", tmp_path / "run" / "checkpoints"):
        assert probe._checkpoint(path) == digests["step-00000002"]
    (tmp_path / "run" / "checkpoints" / "best").symlink_to("step-00000001")
    for path in (tmp_path / "run", tmp_path / "run" / "checkpoints"):
        assert probe._checkpoint(path) == digests["step-00000001"]
    assert probe._checkpoint(tmp_path) is None


def test_host_without_awsdet_or_python(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "awsdet").mkdir()
    (tmp_path / "awsdet" / "__init__.py").write_text("raise ImportError('no module named x')")
    errors = examine([Host("localhost", 1)], Ssh(), Question()).errors
    assert len(errors) == 1 and "host localhost cannot run awsdet (ImportError: no module named x)" in errors[0]
    monkeypatch.setattr(checks.sys, "executable", "/no/such/python")
    errors = examine([Host("localhost", 1)], Ssh(), Question()).errors
    assert len(errors) == 1 and "/no/such/python" in errors[0]
