"""`awsdet selftest` on one rank, and what its report says of many. tests/distributed runs it on several."""

import json
import os
import pathlib

import pytest

from awsdet.cli import main as cli
from awsdet.cli import selftest_report as selftest
from awsdet.runtime.bandwidth import Plan, RankReport, summarise
from awsdet.runtime.links import Links

PLAN = Plan([250, 750], pair_bytes=1000)
CPU = Links("ens5", 25_000, [], 0, [], "", [])
GPU = Links("ens5", 0, ["rdmap0s6"], 8, ["NV12"], "AWS Libfabric", ["NET/AWS Libfabric/0/GDRDMA", "P2P/IPC/read"])


def ranks(count, **changes):
    """Reports of ranks on hosts of two; `changes`: rank N's own seconds as own_N."""
    found = []
    for rank in range(count):
        own = changes.get(f"own_{rank}", 0.01)
        pairs = {other: 0.001 for other in range(count) if other != rank}
        found.append(RankReport(rank, f"h{rank // 2}", [own] * 3, [0.1] * 3, pairs, changes.get(f"faults_{rank}", [])))
    return found


def verdict(found, least=0.0):
    return selftest.verdict(found, summarise(found, PLAN), least)


def test_alone_it_says_that_nothing_was_exchanged(capsys, tmp_path):
    assert cli.main(["selftest", "--rounds=1", f"--json={tmp_path / 'new' / 'o.json'}"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "awsdet selftest: OK, but there is only one rank, so nothing was exchanged"
    assert "horovodrun -np 2 awsdet selftest" in "\n".join(out)
    written = json.loads((tmp_path / "new" / "o.json").read_text())
    assert written["verdict"] in out[-1] and len(written["ranks"]) == 1


@pytest.mark.parametrize("path, why", [("file/o.json", "/file is no folder"), (".", " is a folder; name a file")])
def test_file_that_cannot_be_written_is_told_before_the_measurement(capsys, tmp_path, monkeypatch, path, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("awsdet.runtime.bandwidth.measure", None)  # to call it would be an error
    assert cli.main(["selftest", f"--json={path}"]) == 2
    assert why in capsys.readouterr().err


def test_nccl_is_told_to_write_before_the_first_exchange(tmp_path, monkeypatch):
    """Also if a mistake ends the command there; nothing stays behind."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("NCCL_DEBUG", "NCCL_DEBUG_FILE"):
        monkeypatch.setenv(name, "")  # so that it is put back after the test
        monkeypatch.delenv(name)
    seen = []

    def exchange(world, work):
        folder = pathlib.Path(os.environ.get("NCCL_DEBUG_FILE", "/")).parent
        seen.append((os.environ.get("NCCL_DEBUG"), folder, folder.is_dir()))
        work()

    monkeypatch.setattr("awsdet.runtime.together.together", exchange)
    assert cli.main(["selftest", f"--json={tmp_path}"]) == 2
    ((level, folder, existed),) = seen
    assert level == "INFO" and folder.name.startswith("awsdet-nccl-") and existed and not folder.exists()


@pytest.mark.parametrize("flag", ["--rounds=-1", "--megabytes=0", "--megabytes=x", "--least-bandwidth=-1"])
def test_flags_out_of_range(capsys, flag):
    assert cli.main(["selftest", flag]) == 2
    assert flag.partition("=")[0] in capsys.readouterr().err.replace("_", "-")


def test_verdict_of_ranks_that_are_well():
    code, line = verdict(ranks(4))
    assert code == 0 and line.startswith("OK: 4 ranks on 2 hosts: all sums are right")


def test_verdict_names_a_wrong_value_and_fails():
    code, line = verdict(ranks(2, faults_1=["tensor 5 is off", "and more"]))
    assert code == 1 and line == "FAILED: on rank 1 (h0) tensor 5 is off (and 1 more, in --json)"


def test_verdict_names_a_slow_rank():
    code, line = verdict(ranks(4, own_3=0.2))
    assert code == 0 and line.startswith("SLOW: ")
    assert "rank 3 (h1) is slow: 0.2 s for what takes others 10 ms" in line


def test_verdict_names_a_slow_link():
    found = ranks(6)
    found[0].pairs[4] = found[4].pairs[0] = 0.1
    code, line = verdict(found)
    assert code == 0 and "the link of rank 0 (h0) and rank 4 (h2) is slow" in line


def test_bandwidth_below_the_least_fails_and_still_names_the_slow_rank():
    code, line = verdict(ranks(2, own_1=0.2), least=1.0)
    assert code == 1 and "below the 1 GB/s of --least-bandwidth" in line and "rank 1 (h0) is slow" in line
    assert verdict(ranks(2), least=1e-6)[0] == 0
    assert verdict(ranks(1), least=1.0)[0] == 1


@pytest.mark.parametrize(
    "transport, links, words",
    [
        ("Gloo", CPU, "no GPU: Gloo over ens5 (25 Gbit/s); EFA devices: none"),
        ("Gloo", CPU._replace(interface="", megabits=0), "Gloo over an interface that is not known"),
        ("Gloo", CPU._replace(efa=["efa_0"]), "EFA devices: efa_0; not used"),
        ("Gloo", CPU._replace(gpus=8), "8 GPUs, but not NCCL: Gloo over ens5"),
        (
            "NCCL",
            GPU,
            "network AWS Libfabric; paths NET/AWS Libfabric/0/GDRDMA, P2P/IPC/read; EFA devices: rdmap0s6, used",
        ),
        ("NCCL", GPU, "NVLink: NV12, used"),
        ("NCCL", GPU._replace(network="Socket"), "EFA devices: rdmap0s6, NOT used: install aws-ofi-nccl"),
        ("NCCL", GPU._replace(nvlink=[]), "NVLink: none"),
        ("NCCL", GPU._replace(network="", nccl_paths=[]), "NCCL_DEBUG is set by the user"),
    ],
)
def test_links_in_words(transport, links, words):
    assert words in selftest.describe_links(transport, links)


def test_machines_that_differ_have_lines_of_their_own():
    found = ranks(4)
    text = selftest.text("NCCL", found, [GPU, GPU, GPU, GPU._replace(network="Socket")], summarise(found, PLAN))
    lines = [line for line in text.splitlines() if line.startswith("transport")]
    assert len(lines) == 2 and lines[0].endswith("(h0, h1)") and lines[1].endswith("(h1)")
    assert "hosts      slowest h0 and h1: 0.001 GB/s each way per rank" in text


def test_many_ranks_are_shortened_and_the_slow_ones_stay():
    found = ranks(40, own_37=0.5)
    text = selftest.text("Gloo", found, [CPU] * 40, summarise(found, PLAN))
    assert "\n  37  h18" in text and "the other 24 ranks prepare faster; --json=FILE has them all" in text
