"""`awsdet selftest` in two processes: right sums, wrong sums, a slow rank."""

import json
import sys

SELFTEST = [sys.executable, "-m", "awsdet.cli.main", "selftest"]


def test_two_ranks_exchange_rightly(horovodrun, tmp_path):
    """The bandwidth asked for cannot be reached, so the whole report comes with exit code 1."""
    file = tmp_path / "o.json"
    done = horovodrun(
        2, [*SELFTEST, "--rounds=2", "--megabytes=1", "--least-bandwidth=1e6", f"--json={file}"], timeout=300
    )
    lines = done.lines(0)
    assert done.code == 1 and not done.lines(1), done.output
    assert lines[0].startswith("2 ranks on 1 host: ")
    assert lines[1] == "transport  no GPU: Gloo over lo; EFA devices: none"
    assert "176.7 MB per step" in done.output and "slowest rank 0" in done.output
    assert lines[-1].startswith("awsdet selftest: FAILED: 2 ranks on 1 host: ")
    assert "below the 1e+06 GB/s of --least-bandwidth" in lines[-1]
    written = json.loads(file.read_text())
    assert written["verdict"] in lines[-1] and not written["summary"]["faults"]
    seconds = written["summary"]["exchange"]
    assert written["summary"]["algorithm_bandwidth"] == written["summary"]["step_bytes"] / seconds
    assert written["summary"]["bus_bandwidth"] == written["summary"]["algorithm_bandwidth"]  # 2 (n - 1) / n is 1
    assert [list(rank["pairs"]) for rank in written["ranks"]] == [["1"], ["0"]]
    assert all(len(rank["exchange"]) == 2 for rank in written["ranks"])


# One program for three measurements, since most of its time goes into starting.
MEASUREMENTS = """
    import json, os, subprocess, sys
    import tensorflow as tf
    from awsdet.cli import selftest_report
    from awsdet.runtime import processes
    from awsdet.runtime.bandwidth import Plan, measure, summarise
    from awsdet.runtime.horovod import HorovodWorld

    average, swap = HorovodWorld.average, HorovodWorld.swap

    def wrong_average(world, gradients):  # rank 1 sends twice what it should in its second tensor
        return average(world, [gradients[0], gradients[1] * float(world.rank + 1), *gradients[2:]])

    def wrong_swap(world, tensor, partner):
        return swap(world, tensor + float(world.rank), partner)

    world = processes.start(2)
    results = {}

    def run(name, sizes):
        plan = Plan(sizes, rounds=3, pair_bytes=4000)
        reports = measure(world, plan)
        summary = summarise(reports, plan)
        results[name] = [summary.faults, sorted(summary.slow_ranks), *selftest_report.verdict(reports, summary, 0.0)]

    HorovodWorld.average = wrong_average
    run("wrong sum", [10, 20, 30])
    HorovodWorld.average, HorovodWorld.swap = average, wrong_swap
    run("wrong message", [10, 20, 30])
    HorovodWorld.swap = swap

    # Rank 1 gets a tenth of its time: another process stops it and lets it go on.
    throttle = "import os, sys, time, signal\\nwhile os.getppid() == int(sys.argv[1]):\\n" \\
        "    for number, pause in ((signal.SIGSTOP, 0.027), (signal.SIGCONT, 0.003)):\\n" \\
        "        os.kill(int(sys.argv[1]), number); time.sleep(pause)\\n"
    if world.rank == 1:
        throttled = subprocess.Popen([sys.executable, "-c", throttle, str(os.getpid())])
    run("slow rank", [4_000_000] * 3)
    if world.rank == 1:
        throttled.kill()
        throttled.wait()
    print(json.dumps(results), flush=True)
    world.close()
"""


def test_wrong_sums_and_a_slow_rank_are_named(horovodrun):
    done = horovodrun(2, MEASUREMENTS, timeout=300)
    assert done.code == 0, done.output
    both = [json.loads(done.lines(rank)[-1]) for rank in range(2)]
    assert both[0] == both[1]
    faults, _, code, line = both[0]["wrong sum"]
    assert code == 1 and line.startswith("FAILED: on rank 0 ")
    assert sum("tensor 1 of 20 values has " in fault and "alone" not in fault for fault in faults) == 2  # on both ranks
    assert all("the gradients of rank 1 alone arrive wrongly" in fault for fault in faults if "alone" in fault)
    assert any("rank 1 alone" in fault for fault in faults)

    faults, _, code, line = both[0]["wrong message"]
    assert code == 1 and "rank 1's message has 3 instead of 2 at value 0" in line
    assert len(faults) == 1 and faults[0].startswith("on rank 0 ")

    faults, slow, code, line = both[0]["slow rank"]
    assert faults == [] and slow == [1] and code == 0, line
    assert line.startswith("SLOW: ") and "rank 1 (" in line
