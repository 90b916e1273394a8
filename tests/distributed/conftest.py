"""Runs Python programs in several processes with horovodrun, most of them as `awsdet launch` calls it."""

import os
import pathlib
import re
import subprocess
import sys
import textwrap
from typing import NamedTuple

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


class Finished(NamedTuple):
    """A job that has ended."""

    code: int
    output: str  # stdout and stderr; each line begins with its rank

    def lines(self, rank):
        """What a rank printed to stdout.

        Open MPI, which horovodrun prefers to Gloo, puts a 1 before the rank, and a mark before each piece of a line
        that it passes on.
        """
        mark = r"\[(?:1,)?{}\]<{}>:"
        own, others = mark.format(rank, "stdout"), mark.format(r"\d+", "std(?:out|err)")
        pieces = re.findall(rf"{own}(?:(.*?)(?={others})|(.*\n?))", self.output)
        return "".join(before + last for before, last in pieces).splitlines()


@pytest.fixture
def horovodrun(tmp_path):
    """horovodrun(processes, source or argument list, timeout, flags) -> Finished.

    flags: of horovodrun, which is then called as users call it. By default awsdet's own way to call it is taken, which
    does not load TensorFlow in one more process.
    """

    def run(processes, program, timeout=400, flags=None):
        if isinstance(program, str):
            path = tmp_path / "program.py"
            path.write_text(textwrap.dedent(program))
            program = [sys.executable, str(path)]
        if flags is None:
            launcher = [sys.executable, "-m", "awsdet.launch.horovodrun", "--gloo"]
        else:
            launcher = [pathlib.Path(sys.executable).with_name("horovodrun"), *flags]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(
            [*launcher, "-np", str(processes), *map(str, program)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        return Finished(done.returncode, done.stdout)

    return run
