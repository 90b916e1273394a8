"""Options of the whole test run."""

import gc
import os
import pathlib

from tests.shares import Shares

# By default, ranks look a thousand times per second for what there is to exchange; here they are more than the cores.
os.environ.setdefault("HOROVOD_CYCLE_TIME", "20")  # ms


def pytest_addoption(parser):
    parser.addoption(
        "--ops-library", metavar="FILE", help="test this build of the compiled operators, not awsdet/ops/*.so"
    )


def pytest_configure(config):
    config.pluginmanager.register(Shares())
    path = config.getoption("--ops-library")
    if path:
        from awsdet.ops import library

        library.PATH = pathlib.Path(path).resolve()


def pytest_sessionstart():
    gc.disable()


def pytest_collection_finish():
    """What modules have created stays; not to look through it for garbage saves a fifteenth of the time."""
    gc.freeze()
    gc.enable()
