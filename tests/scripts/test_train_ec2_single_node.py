"""scripts/train_ec2_single_node.sh: its arguments, the user's mistakes, and a stop that loses nothing."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from awsdet.train import checkpoint
from tests.train.made import make_records, write_config

REPOSITORY = pathlib.Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "train_ec2_single_node.sh"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_config(folder / "tiny.py", make_records(folder, train_images=4, val_images=1))


def start(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [SCRIPT, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )


def finish(folder, *arguments):
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err.strip().splitlines()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "usage: "),
        (["2"], "usage: "),
        (["two", "config.py"], "PROCESSES is 'two'"),
        (["0", "config.py"], "PROCESSES is '0'"),
        (["2", "nowhere.py"], "config file nowhere.py does not exist"),
    ],
)
def test_mistakes_in_the_arguments(tmp_path, arguments, message):
    code, _, said = finish(tmp_path, *arguments)
    assert code == 2 and len(said) == 1 and message in said[0]


def test_unknown_argument(tmp_path, config_file):
    code, _, said = finish(tmp_path, 2, config_file, "--outptu=x")
    assert code == 2 and len(said) == 1 and "unknown argument --outptu=x" in said[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_users_mistake_is_one_line(tmp_path, config_file, processes):
    code, _, said = finish(tmp_path, processes, config_file, "--config.optimizer.nmae=lamb")
    assert code == 2 and len(said) == 1 and "did you mean optimizer.name?" in said[0], said
    code, _, said = finish(tmp_path, processes, config_file, "--config.data.train_records=/nowhere")
    assert code == 2 and len(said) == 1 and "/nowhere" in said[0], said


def test_sigterm_saves_on_all_ranks_and_ends_well(tmp_path, config_file):
    """The signal goes to the script; the ranks agree on a step, rank 0 saves, and the run goes on from there."""
    overrides = ("--config.model.detector=faster_rcnn", "--config.train.evaluate_every_epochs=0")
    process = start(tmp_path, 2, config_file, *overrides, "--config.train.epochs=2000")
    run = tmp_path / "runs" / "tiny"
    deadline = time.monotonic() + 240
    while not (run / "metrics.jsonl").is_file() or not (run / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    step = checkpoint.read_info(checkpoint.find(run))["step"]
    assert f"saved at step {step}; go on with --resume" in out + err
