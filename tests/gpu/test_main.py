"""The program as a user calls it: its exit codes, its lines, its JSON. A CPU stands in for the GPU."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.gpu import __main__ as program
from tests.gpu import machine, processes
from tests.gpu.commands import call

ROOT = pathlib.Path(__file__).parents[2]
SEEN = {"gpus": [["A10G", [8, 6]]], "memory": [24e9], "tensorflow": "2.15.1", "cuda": "12.2", "cudnn": "8"}
SEEN = {**SEEN, "operators": "CPU and CUDA 12.2 (sm_80, sm_86)", "error": ""}
ROW = {"reason": "", "left_out": [], "seconds": 1.0}


def run(*arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1", **environment}
    command = [sys.executable, "-m", "tests.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_a_cpu_beside_itself(tmp_path):
    done = run("--device=CPU:0", "--small", "--parts=operators,harness", f"--json={tmp_path}/new/gpu.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed: operators; skipped: harness" in done.stdout.splitlines()[-1]
    text = (tmp_path / "new" / "gpu.json").read_text()
    found = json.loads(text)
    assert found["verdict"] == "passed: operators; skipped: harness"
    assert list(found["parts"]) == ["harness", "operators"]  # in the order of the program
    assert found["parts"]["operators"]["figures"]["anchors"]["boxes"]["different"] == 0
    assert found["machine"]["tensorflow"].startswith("2.15") and found["machine"]["operators"].startswith("CPU")
    assert str(pathlib.Path.home()) + "/" not in text and str(ROOT) not in text


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = run(f"--json={tmp_path}/gpu.json")
    if "GPU on this machine" not in done.stdout:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.parametrize(
    ("argument", "said"),
    [("--parts=step,rank", "'rank'; the parts are harness, "), ("--parts=,", "no part"), ("--json=/", "is a folder")],
)
def test_mistakes_get_one_line(argument, said, capsys):
    assert program.main([argument]) == 2
    assert said in capsys.readouterr().err


def test_a_machine_that_is_not_set_up_is_a_mistake(monkeypatch, capsys, tmp_path):
    for change, said in (
        ({"operators": "CPU"}, "make ops"),
        ({"operators": "CPU and CUDA 13.0 (sm_90)"}, "no code for A10G"),
        ({"cuda": "", "gpus": []}, "the CPU build, on a machine with 1 GPU"),
    ):
        monkeypatch.setattr(machine, "look", lambda facts={**SEEN, **change}: (facts, ""))
        monkeypatch.setattr(program.diagnosis, "nvidia_gpus", lambda: ["A10G"])
        assert program.main([f"--json={tmp_path}/x.json"]) == 2
        assert said in capsys.readouterr().err
    assert machine.mistakes(SEEN, "", ["A10G"]) == []


def test_a_failed_part_does_not_stop_the_others(monkeypatch, capsys, tmp_path):
    rows = {"step": {**ROW, "status": "failed", "reason": "mask_loss: differs"}}
    rows["timing"] = {**ROW, "status": "passed", "left_out": ["mixed_float16, batch 8: it needs 11.7 GB"]}
    seconds = []

    def run_part(part, flags, allowed):
        seconds.append(allowed)
        return rows[part.name]

    monkeypatch.setattr(machine, "look", lambda: ({**SEEN, "gpus": [["H100", [9, 0]]]}, ""))
    monkeypatch.setattr(machine, "mistakes", lambda *_: [])
    monkeypatch.setattr(program, "run_part", run_part)
    assert program.main(["--parts=timing,step", "--patience=2", f"--json={tmp_path}/x.json"]) == 1
    assert seconds == [120 * 2 * program.COLD, 240 * 2 * program.COLD]
    output = capsys.readouterr().out
    assert "has no machine code for this GPU" in output and "left out: mixed_float16, batch 8" in output
    assert json.loads((tmp_path / "x.json").read_text())["verdict"] == "failed: step"


def test_a_verdict_that_is_not_whole_says_so():
    parts = {"timing": {**ROW, "status": "passed", "left_out": ["x"]}, "ranks": {**ROW, "status": "skipped"}}
    assert program._verdict(parts) == "passed: timing; skipped: ranks; not whole: timing"
    assert program._verdict({"ranks": parts["ranks"]}) == "nothing was tested; skipped: ranks"


@pytest.fixture
def dying(monkeypatch):
    """dying(source): the process of the next part is this Python program; its result is the file sys.argv[-1]."""

    def set_source(source):
        def replaced(command, *rest, **more):
            return call([sys.executable, "-c", source, command[-1]], *rest, **more)

        monkeypatch.setattr(processes, "call", replaced)

    return set_source


WRITE = "import os, sys, json; json.dump({!r}, open(sys.argv[-1], 'w')); "


def died(dying, source, seconds=60):
    dying(source)
    return processes.run_part(processes.PARTS[1], program._flags(["--device=CPU:0"]), seconds)


def test_a_part_whose_process_dies(dying, monkeypatch):
    row = died(dying, "import os, sys; sys.stderr.write('illegal access\\n'); sys.stderr.flush(); os.abort()")
    assert row["status"] == "failed" and row["reason"].endswith("by SIGABRT; its last words: illegal access")
    assert "with code 3: it wrote nothing" in died(dying, "raise SystemExit(3)")["reason"]
    begun = {"status": "failed", "reason": "", "figures": {"nms": 1}, "failures": [], "left_out": []}
    row = died(dying, WRITE.format(begun) + "os.abort()")
    assert row["status"] == "failed" and row["figures"] == {"nms": 1}
    # Its verdict had been given; it was about to add a profile.
    row = died(dying, WRITE.format({**begun, "status": "passed"}) + "os.abort()")
    assert row["status"] == "passed" and "SIGABRT" in row["left_out"][0]
    monkeypatch.setattr(processes, "GRACE", 0.0)
    assert "was ended after 1 s" in died(dying, "import time; time.sleep(99)", 1)["reason"]


def test_a_command_is_ended_with_all_that_it_started(tmp_path):
    mark = tmp_path / "alive"
    ended = call(["sh", "-c", f"(sleep 2; touch {mark}) & wait"], 0.5)
    assert ended.code is None
    assert call(["sleep", "2.2"], 9).code == 0
    assert not mark.exists()


def test_nothing_private_goes_into_the_file():
    text = machine.scrubbed(f"{ROOT}/awsdet/x.py and {pathlib.Path.home()}/.cache")
    assert text == "./awsdet/x.py and ~/.cache"
