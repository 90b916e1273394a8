"""MLPerf's own checkers, which have an environment of their own."""

import pytest

from awsdet.mlperf.checkers import Checkers
from tests.environments import environment


@pytest.fixture(scope="session")
def checkers_python():
    """Path of a Python that has mlperf-logging."""
    return str(environment("mlperf") / "bin/python")


@pytest.fixture(scope="session")
def checkers(checkers_python):
    return Checkers(checkers_python)
