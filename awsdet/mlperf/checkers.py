"""Runs the checkers of the package mlperf-logging, which need not be installed beside awsdet.

Ruleset 3.1.0 is the last that has Mask R-CNN.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

from awsdet.mlperf import faults
from awsdet.runtime.errors import UserError

RULESET = "3.1.0"
_PACKAGE = "mlperf_logging"
_NUMBER = r"(?:np\.float64\()?([\d.]+)"


class Verdict(NamedTuple):
    """What a checker says. note: more about it, for a person; faults: what is wrong, a line each."""

    passed: bool
    note: str = ""
    faults: tuple[str, ...] = ()


class Checkers:
    """The checkers, in a Python that has mlperf-logging.

    Args:
        python: path of its program; empty: this one. Raises UserError if it lacks the package.
    """

    def __init__(self, python: str = ""):
        self._python = python or sys.executable
        try:
            done = subprocess.run([self._python, "-c", f"import {_PACKAGE}"], capture_output=True, check=False)
        except OSError as error:
            raise UserError(f"--python={python} cannot be started: {error.strerror}; name a Python program") from None
        if done.returncode:
            raise UserError(
                f"{self._python} has no mlperf-logging, which has the checkers: pip install 'awsdet[mlperf]', or name "
                'a Python that has it, as in --python="$(scripts/setup_test_environments.sh --where mlperf)/bin/python"'
            )

    def compliance(self, file: pathlib.Path) -> Verdict:
        """Whether a log has all that the rules ask for."""
        code, said = self._run("compliance_checker", "--usage", "training", "--ruleset", RULESET, file)
        if not code:
            return Verdict(True)
        return Verdict(False, faults=tuple(faults.in_words(said)) or (_last(said),))

    def convergence(self, folder: pathlib.Path) -> Verdict:
        """Whether the five runs of a folder took as many epochs as the reference; fewer than it may take fail."""
        code, said = self._run("rcp_checker", "--rcp_usage", "training", "--rcp_version", RULESET, folder)
        mean = re.search(rf"Submission mean epochs: {_NUMBER}", said)
        wanted, least = (re.search(rf"'{name}': {_NUMBER}", said) for name in ("RCP Mean", "Min Epochs"))
        note = ""
        if mean and wanted and least:
            note = f"{float(mean[1]):.2f} epochs in the mean; the reference takes {float(wanted[1]):.2f}"
            note += f", and {float(least[1]):.2f} or more are accepted"
        factor = re.search(r"normalized by factor of .* = ([\d.]+)", said)
        if factor:
            note += f"; faster than the reference, so the score is to be multiplied by {float(factor[1]):.4f}"
        verdict = re.search(r"^(?:INFO|ERROR) - (.*), RCP test \w+", said, re.MULTILINE)
        return Verdict(not code, note, () if not code else (verdict[1].strip() if verdict else _last(said),))

    def package(self, folder: pathlib.Path) -> Verdict:
        """Whether a folder can be submitted as it is. It stays so: the checker, which writes, gets a copy."""
        with tempfile.TemporaryDirectory() as scratch:
            copy = pathlib.Path(scratch) / "package"
            copy.mkdir()
            for entry in folder.iterdir():
                (copy / entry.name).symlink_to(entry.absolute())
            (copy / "results").unlink()
            shutil.copytree(folder / "results", copy / "results")
            code, said = self._run("package_checker", copy, "training", RULESET)
        if not code and "FOUND NO ERRORS" in said:
            return Verdict(True)
        errors = re.findall(r"^ERROR - +(.*)$", said, re.MULTILINE)
        return Verdict(False, faults=tuple(line.replace(f"{copy}/", "") for line in errors or [_last(said)]))

    def _run(self, checker, *arguments):
        """(exit code, what it printed)."""
        command = [self._python, "-m", f"{_PACKAGE}.{checker}", *map(str, arguments), "--log_output", os.devnull]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout


def _last(said):
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("** Logging")]
    return lines[-1] if lines else "the checker failed and said nothing"
