"""scripts/run_with_docker.sh: what it asks of docker, how often, and how it ends.

A program stands for docker, since there is no daemon here: it notes how it was called.
"""

import os
import pathlib
import signal
import subprocess
import time

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/run_with_docker.sh"
CONFIG = "configs/mlperf/mask_rcnn_b96.py"
# CODES: the exit codes of the first calls, 0 after them. "wait": until SIGTERM.
DOCKER = """#!/bin/bash
echo "$*" >>"$CALLS"
codes=($CODES)
code=${codes[$(wc -l <"$CALLS") - 1]:-0}
if [ "$code" = wait ]; then
    trap 'exit 1' TERM
    while :; do sleep 0.05; done
fi
exit "$code"
"""


@pytest.fixture
def start(tmp_path):
    """start(*arguments, **environment) starts the script with records and a docker. Returns its Popen."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)
    records = tmp_path / "coco/records"
    records.mkdir(parents=True)
    (records / "train.manifest.json").touch()
    (tmp_path / "drop").touch()
    fixed = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "CODES": "",
        "CONT": "awsdet:1",
        "DATADIR": "coco",
        "LOGDIR": "new/results",
        "AWSDET_DROP_CACHES": str(tmp_path / "drop"),
    }

    def begin(*arguments, **environment):
        return subprocess.Popen(
            [SCRIPT, *arguments],
            env={**fixed, **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err.strip()


def calls(folder):
    return (folder / "calls").read_text().splitlines()


def test_five_runs_with_cleared_caches(start, tmp_path):
    code, out, err = finish(start(CONFIG, "--config.model.precision=float32", DGXNGPU="8"))
    assert (code, err) == (0, "") and out.splitlines()[-1].endswith("awsdet mlperf check new/results")
    lines = calls(tmp_path)
    assert len(lines) == 5 and len(set(lines)) == 1
    options, command = lines[0].split(" awsdet:1 ")
    assert options.startswith("run --rm --gpus all --ipc=host ") and options.endswith(" -e DGXNGPU")
    assert f"-v {tmp_path}/coco:/data:ro -v {tmp_path}/new/results:/results -v {tmp_path}/.cache/awsdet:" in options
    assert command == (
        f"scripts/run_and_time.sh {CONFIG} --config.model.precision=float32 --results=/results "
        "--config.data.train_records=/data/records --caches-cleared"
    )
    assert (tmp_path / "drop").read_text() == "3\n" and (tmp_path / "new/results").is_dir()


def test_without_clearing_and_with_records_elsewhere(start, tmp_path):
    own = "--config.data.train_records=/data/other"
    assert finish(start(CONFIG, own, "--seed=7", NEXP="1", CLEAR_CACHES="0"))[0] == 0
    (line,) = calls(tmp_path)
    assert line.endswith(f"scripts/run_and_time.sh {CONFIG} {own} --seed=7 --results=/results")
    assert not (tmp_path / "drop").read_text()


@pytest.mark.parametrize("codes, count, wanted", [("0 1 0", 3, 1), ("0 2 0", 2, 2), ("125", 1, 2), ("0 0 0", 3, 0)])
def test_exit_codes(start, tmp_path, codes, count, wanted):
    code, _, err = finish(start(CONFIG, NEXP="3", CODES=codes))
    assert (code, len(calls(tmp_path))) == (wanted, count)
    assert ("docker could not start awsdet:1" in err) == (codes == "125")


def test_sigterm_reaches_the_container_and_ends_all(start, tmp_path):
    process = start(CONFIG, CODES="0 wait")
    deadline = time.monotonic() + 60
    while not (tmp_path / "calls").exists() or len(calls(tmp_path)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)  # until the program has set its trap
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, err) == (1, "run_with_docker.sh: stopped in run 2 of 5") and len(calls(tmp_path)) == 2


@pytest.mark.parametrize(
    "arguments, environment, words",
    [
        ((), {}, "usage: CONT=IMAGE DATADIR=DIR LOGDIR=DIR"),
        (("--seed=1",), {}, "usage: "),
        ((CONFIG, "--results=x"), {}, "the results go to LOGDIR"),
        ((CONFIG, "--seed=1"), {}, "each run must have another seed"),
        ((CONFIG,), {"CONT": ""}, "CONT is not set"),
        ((CONFIG,), {"DATADIR": "nowhere"}, "DATADIR is 'nowhere', not a folder"),
        ((CONFIG,), {"DATADIR": "bin"}, "there are no records in bin or bin/records; make them with awsdet convert"),
        ((CONFIG,), {"LOGDIR": ""}, "LOGDIR is not set"),
        ((CONFIG,), {"LOGDIR": "drop/x"}, "LOGDIR=drop/x cannot be made"),
        ((CONFIG,), {"NEXP": "no"}, "NEXP is 'no', not a number above 0"),
    ],
)
def test_mistakes_are_named_before_anything_runs(start, tmp_path, arguments, environment, words):
    code, _, err = finish(start(*arguments, **environment))
    assert code == 2 and words in err.splitlines()[-1] and not (tmp_path / "calls").exists()


def test_without_docker(start, tmp_path):
    (tmp_path / "bin/docker").unlink()
    folder = tmp_path / "tools"  # what the script needs, but no docker
    folder.mkdir()
    for name in ("bash", "basename", "env"):
        os.symlink(f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}", folder / name)
    code, _, err = finish(start(CONFIG, PATH=str(folder)))
    assert code == 2 and err.startswith("run_with_docker.sh: docker is not installed")
