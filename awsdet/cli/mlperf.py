"""Checks MLPerf results of Mask R-CNN, and scores them (docs/mlperf.md).

    awsdet mlperf check DIR

DIR holds result_0.txt to result_4.txt of one system, or a whole package: results/SYSTEM/maskrcnn/result_*.txt beside
systems/ and benchmarks/. Each log goes through MLCommons' compliance checker, five of them through its check of
convergence, and a package through the check of packages, all by the rules of version 3.1.0.

The exit code is 0 if everything passes, and 1 if not.
"""

import math

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError

POSITIONAL = ("action", "folder")
_WIDTH = 16


def define(flag_values):
    """Adds the flags of `awsdet mlperf`."""
    flags.DEFINE_string("action", "", "what to do: check", flag_values=flag_values)
    define_path("folder", "", "DIR: the results", flag_values)
    define_path("python", "", "a Python that has mlperf-logging; empty: this one", flag_values)


def run(flag_values, overrides):
    """Checks and prints. Returns the exit code."""
    del overrides
    if flag_values.action != "check" or not flag_values.folder:
        raise UserError("say what to check: awsdet mlperf check DIR")
    from awsdet.mlperf import results
    from awsdet.mlperf.checkers import Checkers

    layout = results.find(flag_values.folder)
    checkers = Checkers(flag_values.python)
    passed = [_check_folder(checkers, folder) for folder in layout.folders]
    if layout.package:
        passed.append(_show("package", checkers.package(layout.folder)))
    return 0 if all(passed) else 1


def _check_folder(checkers, folder):
    """Prints the verdicts on a folder. Returns whether it passes."""
    from awsdet.mlperf import results

    print(folder)
    found, passed = results.results_of(folder), True
    for result in found:
        verdict = checkers.compliance(result.file)
        reached = f"{result.minutes:.2f} minutes" if math.isfinite(result.minutes) else "target missed"
        epochs = "no evaluation" if result.epochs is None else f"{result.epochs:g} epochs"
        passed = _show(result.file.name, verdict._replace(note=f"{reached}, {epochs}")) and passed
    minutes = results.score(found)
    if minutes is None:
        print(f"  a result is {results.RUNS} runs, and there are {len(found)}: neither convergence nor score")
        return False
    passed = _show("convergence", checkers.convergence(folder)) and passed
    shown = f"{minutes:.2f} minutes" if math.isfinite(minutes) else "none: two runs or more missed the target"
    print(f"  {'score':<{_WIDTH}}{shown}, the mean of the middle three of five")
    return passed and math.isfinite(minutes)


def _show(what, verdict):
    """Prints a verdict. Returns whether it passed."""
    print(f"  {what:<{_WIDTH}}{'passed' if verdict.passed else 'FAILED'}{verdict.note and f'  {verdict.note}'}")
    for fault in verdict.faults:
        print(f"      {fault}")
    return verdict.passed
