"""What is said of an exception in one line."""

import pytest

from awsdet.runtime.errors import first_line


@pytest.mark.parametrize(
    "error,line",
    [(OSError("\n no such file \nat …"), "no such file"), (RuntimeError(), "RuntimeError"), (KeyError("a"), "'a'")],
)
def test_the_first_line(error, line):
    assert first_line(error) == line
