"""Divides the tests that cost much among runs, so that continuous integration answers soon.

tests/costly.txt names each test that took 4 s of processor time or more, with the processes that it started. Those of
parity with the reference are not listed, so that they always run. With AWSDET_TEST_SHARE=2/5 a run keeps the second of
five shares of the listed tests, of about the same cost each, leaves out the others, and says how many; every test that
is not listed runs. Without the variable, all run.

    AWSDET_TEST_COSTS=/tmp/costs make test && python -m tests.shares /tmp/costs       writes tests/costly.txt anew
"""

import os
import pathlib
import re
import resource
import sys

import pytest

FILE = pathlib.Path(__file__).with_name("costly.txt")
SHARE, COSTS = "AWSDET_TEST_SHARE", "AWSDET_TEST_COSTS"
_LEAST = 4.0  # s
_ALWAYS = "tests/parity/"  # the numbers of the reference are compared in each run
_TITLE = "# Seconds of processor time of tests that took 4 or more. Written by: python -m tests.shares"


def read(file=FILE):
    """Test -> seconds."""
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name: float(seconds) for seconds, name in (line.split(maxsplit=1) for line in lines)}


def parse(text):
    """(number from 1, number of shares) of a text such as 2/3. Raises pytest.UsageError for what is no share."""
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise pytest.UsageError(f"{SHARE}={text}: give a share such as 1/3, 2/3 or 3/3, or nothing for all tests")
    return number, count


def others(costs, number, count):
    """The tests that are not in share `number` of `count`. The dearest goes first, to the share that has the least."""
    totals, owners = [0.0] * count, {}
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        owners[name] = totals.index(min(totals))
        totals[owners[name]] += costs[name]
    return {name for name, owner in owners.items() if owner != number - 1}


class Shares:
    """The plugin of pytest."""

    def pytest_terminal_summary(self, terminalreporter):
        """Says what the run did without."""
        if os.environ.get(SHARE):
            left_out = len(others(read(), *parse(os.environ[SHARE])))
            terminalreporter.write_line(f"share {os.environ[SHARE]}: {left_out} costly tests were left to the others")

    def pytest_collection_modifyitems(self, config, items):
        """Leaves out the tests of the other shares."""
        if os.environ.get(SHARE):
            left_out = others(read(), *parse(os.environ[SHARE]))
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
            items[:] = [item for item in items if item.nodeid not in left_out]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        """Notes what the test costs."""
        before = _used()
        yield
        if os.environ.get(COSTS):
            with open(os.environ[COSTS], "a", encoding="utf-8") as file:  # one write: workers do not mix their lines
                file.write(f"{_used() - before:.1f} {item.nodeid}\n")


def _used():
    """Seconds of processor time of this process and of those it has waited for."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


if __name__ == "__main__":
    COSTLY = {
        name: cost
        for name, cost in read(pathlib.Path(sys.argv[1])).items()
        if cost >= _LEAST and not name.startswith(_ALWAYS)
    }
    LINES = [f"{COSTLY[name]:.0f} {name}" for name in sorted(COSTLY)]
    FILE.write_text("\n".join([_TITLE, *LINES]) + "\n", encoding="utf-8")
