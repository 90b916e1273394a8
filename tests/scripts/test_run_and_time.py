"""scripts/run_and_time.sh: what it makes of its arguments, the log it begins, and the line of the result.

A program stands for awsdet: it notes how it was called and writes the end of a log. tests/training/test_mlperf_log.py
looks at the log of a real run.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from awsdet.runtime import mllog

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = "configs/mlperf/mask_rcnn_b96.py"
# $STATUS: what the log says at its end; $CODE: the exit code. "wait" as the status waits for SIGTERM.
AWSDET = """#!/bin/bash
echo "$*" >>"$CALLS"
for argument; do case $argument in --config.train.mlperf_log=*) log=${argument#*=} ;; esac; done
[ "$CODE" = 2 ] && { echo "awsdet train: a mistake" >&2; exit 2; }
line() { echo ':::MLLOG {"key": "'"$1"'", "value": null, "time_ms": 1, "metadata": {"status": "'"$2"'"}}' >>"$log"; }
line run_start ""
if [ "$STATUS" = wait ]; then
    trap 'echo saved; exit 0' TERM
    while :; do sleep 0.05; done
fi
line run_stop "$STATUS"
exit "$CODE"
"""


@pytest.fixture
def script(tmp_path):
    """script(*arguments, **environment) starts the script in a copy of the checkout. Returns its Popen."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    shutil.copytree(ROOT / "configs/mlperf", checkout / "configs/mlperf")
    program = tmp_path / "bin" / "awsdet"
    program.parent.mkdir()
    program.write_text(AWSDET)
    program.chmod(0o755)
    (tmp_path / "drop").touch()
    fixed = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "STATUS": "success",
        "CODE": "0",
        "AWSDET_DROP_CACHES": str(tmp_path / "drop"),
    }

    def start(*arguments, **environment):
        return subprocess.Popen(
            [checkout / "scripts/run_and_time.sh", *map(str, arguments)],
            env={**fixed, **environment},
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    start.folder, start.calls = checkout, tmp_path / "calls"
    return start


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.strip()


def test_a_run_in_the_shape_of_the_old_command(script, tmp_path):
    old = ("--cfg", CONFIG, "--box_min_ap", "0.3", "--mask_min_ap=0.2", "--seed", 3, "--config.model.precision=float32")
    code, out, err = finish(script(*old, DGXNGPU="8", DGXSYSTEM="box"))
    assert (code, err) == (0, "")
    results = script.folder / "runs/mlperf/mask_rcnn_b96"
    called = script.calls.read_text().split()
    assert called[:3] == ["launch", "localhost:8", "train"]
    assert set(called[3:]) == {
        *(f"--config={CONFIG}", f"--output={results}/run_0", "--config.seed=3", "--config.model.precision=float32"),
        *("--config.train.box_ap_target=0.3", "--config.train.mask_ap_target=0.2"),
        *(f"--config.train.mlperf_log={results}/result_0.txt", "--config.train.mlperf_platform=box"),
    }
    lines = out.splitlines()
    assert lines[0].startswith("STARTING TIMING RUN AT ") and lines[1].startswith("ENDING TIMING RUN AT ")
    name, benchmark, empty, seconds, system, *_ = lines[2].split(",")
    assert (name, benchmark, empty, system) == ("RESULT", "OBJECT_DETECTION", "", "box") and 0 <= int(seconds) < 60
    first = mllog.read(results / "result_0.txt")[0]
    assert (first.key, first.value) == ("cache_clear", True) and abs(first.time_ms - 1000 * time.time()) < 60_000
    assert (tmp_path / "drop").read_text() == "3\n"


def test_each_run_has_a_file_and_a_seed_of_its_own(script, tmp_path):
    for _ in range(2):
        assert finish(script(CONFIG, "--processes=1", f"--results={tmp_path / 'five'}"))[0] == 0
    calls = [call.split() for call in script.calls.read_text().splitlines()]
    assert [call[0] for call in calls] == ["train", "train"] and all("--processes=1" in call for call in calls)
    seeds = {word for call in calls for word in call if word.startswith("--config.seed=")}
    assert len(seeds) == 2 and all(0 <= int(seed.partition("=")[2]) < 2**32 for seed in seeds)
    assert {path.name for path in (tmp_path / "five").iterdir()} == {"result_0.txt", "result_1.txt"}
    mllog.append(tmp_path / "five/result_1.txt", "seed", 77)
    code, _, err = finish(script(CONFIG, "--processes=1", f"--results={tmp_path / 'five'}", "--seed=77"))
    assert code == 2 and "has the seed 77 already" in err


def test_cache_clear_is_said_only_if_it_is_so(script, tmp_path):
    code, _, err = finish(script(CONFIG, "--processes=1", "--results=a", AWSDET_DROP_CACHES="/nowhere/drop"))
    assert code == 0 and "caches were not cleared" in err
    assert [event.key for event in mllog.read(script.folder / "a/result_0.txt")] == ["run_start", "run_stop"]
    code, _, err = finish(script(CONFIG, "--results=b", "--caches-cleared", HOSTS="h1:8,h2:8", DGXNNODES="2"))
    assert (code, err) == (0, "") and (tmp_path / "drop").read_text() == ""
    assert script.calls.read_text().splitlines()[-1].startswith("launch h1:8,h2:8 train ")
    assert mllog.read(script.folder / "b/result_0.txt")[0].key == "cache_clear"


def test_a_run_that_misses_its_target_has_no_result(script):
    code, out, err = finish(script(CONFIG, "--processes=1", STATUS="aborted", CODE="1"))
    assert code == 1 and "RESULT" not in out and "the target was not met" in err.splitlines()[-1]


def test_a_mistake_leaves_no_log(script):
    code, out, err = finish(script(CONFIG, "--processes=1", "--results=a", CODE="2"))
    assert (code, err) == (2, "awsdet train: a mistake") and not list((script.folder / "a").iterdir())


def test_sigterm_reaches_the_training(script):
    process = script(CONFIG, "--processes=1", "--results=a", STATUS="wait")
    log = script.folder / "a/result_0.txt"
    while not log.is_file() or "run_start" not in log.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 1 and "saved" in out and "RESULT" not in out and "no result" in err


@pytest.mark.parametrize(
    "arguments, environment, words",
    [
        ([], {}, "usage: "),
        ([CONFIG], {"PATH": "/usr/bin:/bin"}, "awsdet is not installed"),
        ([CONFIG, "--processes=0"], {}, "the number of processes is '0'"),
        ([CONFIG], {"DGXNGPU": "8", "DGXNNODES": "2"}, "DGXNNODES is 2; name the machines, as in HOSTS=h1:8,h2:8"),
        ([CONFIG], {"DGXNGPU": "8", "HOSTS": "h1:8"}, "HOSTS tells how many processes"),
        ([CONFIG, CONFIG], {}, "two configs are given"),
        (["configs/none.py"], {}, "config file configs/none.py does not exist"),
        ([CONFIG, "--multi-gpu-testing"], {}, "--multi-gpu-testing has no meaning here"),
        ([CONFIG, "--skip-test"], {}, "--skip-test has no meaning here"),
        ([CONFIG, "--sede=3"], {}, "unknown argument --sede"),
        ([CONFIG, "--seed"], {}, "--seed has no value"),
        ([CONFIG, "--processes=1", "--seed=x"], {}, "--seed is 'x'"),
        ([CONFIG, "--config.seed=3"], {}, "the seed is given as --seed=N"),
        ([CONFIG, "--config.train.mlperf_log=x"], {}, "give --results=DIR"),
        ([CONFIG, "--config.train.epochs"], {}, "--config.train.epochs has no value"),
        (
            [CONFIG],
            {"EXTRA_CONFIG": "SOLVER.BASE_LR 0.06"},
            "EXTRA_CONFIG is set, and its settings are those of another",
        ),
    ],
)
def test_mistakes(script, arguments, environment, words):
    code, _, err = finish(script(*arguments, **environment))
    assert code == 2 and words in err and len(err.splitlines()) == 1
    assert not script.calls.exists()


def test_variables_without_a_meaning_are_told(script):
    code, _, err = finish(script(CONFIG, "--processes=1", DGXHT="2", BIND_LAUNCH="1"))
    assert code == 0
    assert [line.split()[1] for line in err.splitlines()] == ["DGXHT", "BIND_LAUNCH"]
    assert all("is not used" in line for line in err.splitlines())


def test_the_first_line_is_json(script):
    finish(script(CONFIG, "--processes=1", "--results=a"))
    first = (script.folder / "a/result_0.txt").read_text().splitlines()[0]
    assert json.loads(first.removeprefix(mllog.TOKEN))["metadata"]["lineno"] > 0
