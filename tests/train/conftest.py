"""A data set, settings, and a run that has ended, shared by the tests of training."""

import pytest

from awsdet.distributed import World
from awsdet.train.fit import train
from tests.train.made import load_config, make_records, write_config


@pytest.fixture(scope="session")
def config_file(tmp_path_factory):
    """Config file of a run of 2 epochs of 3 steps."""
    folder = tmp_path_factory.mktemp("data")
    return write_config(folder / "tiny.py", make_records(folder))


@pytest.fixture(scope="session")
def finished(config_file, tmp_path_factory):
    """(run folder, its Outcome) of a run with evaluations, averaged weights and checkpoints between epochs."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    overrides = ("train.checkpoint_every_steps=2", "train.keep_last=2", "optimizer.ema_decay=0.5")
    return folder, train(load_config(config_file, *overrides), folder, World())
