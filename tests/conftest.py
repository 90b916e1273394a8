"""Options of the whole test run."""

import pathlib


def pytest_addoption(parser):
    parser.addoption(
        "--ops-library", metavar="FILE", help="test this build of the compiled operators, not awsdet/ops/*.so"
    )


def pytest_configure(config):
    path = config.getoption("--ops-library")
    if path:
        from awsdet.ops import library

        library.PATH = pathlib.Path(path).resolve()
