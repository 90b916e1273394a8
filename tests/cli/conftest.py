"""Fixtures for the tests of all commands."""

import logging as python_logging
import os

import pytest
from absl import logging


@pytest.fixture(autouse=True)
def restored_logging():
    """Puts back the logging of the test process, which main() changes."""
    root = python_logging.getLogger()
    level, handlers, verbosity = root.level, list(root.handlers), logging.get_verbosity()
    variable = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.set_verbosity(verbosity)
    if variable is None:
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
