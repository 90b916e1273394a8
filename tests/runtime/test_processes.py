"""What launchers tell a process before it joins the others. How they join is tested in tests/distributed."""

import os

import pytest

from awsdet.runtime import processes
from awsdet.runtime.errors import UserError


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("HOROVOD_", "OMPI_", "PMI_", "MPI_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "environment, place",
    [
        ({}, None),
        ({"HOROVOD_RANK": "5", "HOROVOD_SIZE": "16", "HOROVOD_LOCAL_RANK": "1"}, (5, 16, 1)),
        ({f"OMPI_COMM_WORLD_{name}": "2" for name in ("RANK", "SIZE", "LOCAL_RANK")}, (2, 2, 2)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"}, (3, 4, 1)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4, 0)),
        ({"HOROVOD_SIZE": "16"}, None),
    ],
    ids=str,
)
def test_the_place_is_the_launchers(monkeypatch, environment, place):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.place() == place


def test_a_wrong_number_of_processes_is_told_before_any_work(monkeypatch):
    processes.check_launch()
    with pytest.raises(UserError, match="2 processes were requested but this one was started alone"):
        processes.check_launch(2)
    monkeypatch.setenv("HOROVOD_RANK", "0")
    monkeypatch.setenv("HOROVOD_SIZE", "4")
    processes.check_launch(4)
    with pytest.raises(UserError, match="2 processes were requested but 4 are running"):
        processes.check_launch(2)
    monkeypatch.setenv("HOROVOD_ELASTIC", "1")
    processes.check_launch(elastic=True)
    with pytest.raises(UserError, match="only train can go on"):
        processes.check_launch()
    with pytest.raises(UserError, match="--processes=4 fixes the number"):
        processes.check_launch(4, elastic=True)
