"""scripts/train_ec2_single_node.sh: its arguments, the user's mistakes, and a stop that loses nothing."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from awsdet.data.reader.builder import reader_options
from awsdet.data.records.read import read_manifest
from awsdet.evaluation import evaluate
from awsdet.inference import checkpoint
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.world import World
from awsdet.training.checkpoint import Checkpoints
from tests.training.tiny_run import make_records, write_config

REPOSITORY = pathlib.Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "train_ec2_single_node.sh"


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return write_config(folder / "tiny.py", make_records(folder, train_images=8, val_images=5))


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
        (["2", "/tmp"], "config file /tmp is a folder; name a file in it; configs/ holds the ready ones"),
        (["2", "-nowhere"], "config file -nowhere does not exist"),
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


def test_two_processes_train_score_and_stop_on_sigterm(tmp_path, config_file, monkeypatch):
    """A whole job of two ranks: trained, evaluated as one process does, and ended by SIGTERM to the script."""
    # Sums on a CPU depend on the number of threads they are dealt to; this process has one a core.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(usable_cores()))
    settings = {"train.epochs": 2000, "train.keep_last": 2000}
    # So many boxes of a network that has hardly learnt that some hit: else all numbers would be 0.
    settings |= {"model.rpn.pre_nms_test": 300, "model.rpn.post_nms_test": 300, "model.box_head.max_detections": 300}
    settings |= {"model.box_head.score_threshold": 0.0, "model.box_head.nms_iou": 0.9}
    process = start(tmp_path, 2, config_file, *[f"--config.{key}={value}" for key, value in settings.items()])
    run = tmp_path / "runs" / "tiny"
    deadline = time.monotonic() + 300
    while not (run / "metrics.jsonl").is_file() or "box_ap" not in (run / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "learning rate 0.04: the config gives 0.02 for 2 images per update, and this run has 4" in out + err

    newest = checkpoint.read_info(Checkpoints(run / "checkpoints").newest())
    assert f"saved at step {newest['step']}; go on with --resume" in out + err
    first = run / "checkpoints" / "step-00000002"
    detector, info = checkpoint.load(first)
    assert info["images_per_step"] == 4 and info["metrics"]["box_ar100"] > 0
    data = info["config"].data
    manifest = read_manifest(data.train_records, "val")
    assert evaluate(detector, manifest, reader_options(data), World()) == info["metrics"]
