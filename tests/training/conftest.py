"""A data set, settings and a finished run, shared by the tests of training."""

import fcntl
import json
import logging as python_logging

import pytest

from awsdet.runtime.world import World
from awsdet.training.loop import Outcome, train
from tests.training.tiny_run import load_config, make_records, write_config

CHECKPOINTS = (
    "train.checkpoint_every_steps=2",
    "train.keep_last=2",
    "train.profile_steps=5,6",
    "optimizer.ema_decay=0.5",
)


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory, worker_id):
    """A folder that all test processes share, with a finished run, which the first of them makes while others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "train"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "outcome.json").is_file():
            config = write_config(folder / "tiny.py", make_records(folder))
            outcome = train(load_config(config, *CHECKPOINTS), folder / "finished", World())
            (folder / "outcome.json").write_text(json.dumps(outcome))
    return folder


@pytest.fixture(scope="session")
def config_file(training_folder):
    """Config file of a run of 2 epochs of 3 steps."""
    return training_folder / "tiny.py"


@pytest.fixture(scope="session")
def finished_run(training_folder):
    """(run folder, its Outcome) of a run with evaluations, averaged weights and checkpoints between epochs."""
    return training_folder / "finished", Outcome(*json.loads((training_folder / "outcome.json").read_text()))


@pytest.fixture
def log(caplog):
    """What absl logs from "info" upwards."""
    caplog.set_level(python_logging.INFO, logger="absl")
    return caplog
