"""Runs one measuring program in two checkouts of awsdet, in turns, and compares what it measures.

    python benchmarks/versions.py OLD NEW [--rounds 1] -- benchmarks/systems/awsdet_step.py train --size=512

OLD and NEW are the folders of the checkouts, each with its own compiled operators. The program is that of each
checkout, so their APIs may differ, but both must print the same figures as JSON in their last line. A program that
measures with `measure.seconds` takes turns call by call; any other runs as a whole, in one checkout after the other.

A row compares numbers, or the medians of lists, over all rounds: the medians, the ratio of the medians, and the
quartiles of the ratios of two calls in turn. The CPU time is that which other work on the machine affects least.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measure


def main(flags):
    rounds = []
    for index in range(flags.rounds):
        names = ("old", "new") if index % 2 == 0 else ("new", "old")
        programs = [Program(getattr(flags, name), flags.program) for name in names]
        while any([program.take_turn() for program in programs]):
            pass
        rounds.append(dict(zip(names, (program.figures for program in programs))))
    rows = []
    for key in rounds[0]["new"]:
        old, new = (np.concatenate([_numbers(figures[name].get(key)) for figures in rounds]) for name in ("old", "new"))
        if len(old) == len(new) and len(old) and all(old):
            ratios = np.percentile(new / old, (25, 75))
            row = [key, len(old), f"{np.median(old):.4g}", f"{np.median(new):.4g}"]
            rows.append([*row, f"{np.median(new) / np.median(old):.3f}", "{:.3f} to {:.3f}".format(*ratios)])
    measure.table(rows, ["figure", "values", "old", "new", "new / old", "of each pair"])
    measure.write_json(flags.json, {"program": flags.program, "rounds": rounds})


class Program:
    """A running program that waits for its turns. `figures`: what it measured, once it has ended."""

    def __init__(self, checkout, command):
        environment = {**os.environ, **measure.ENVIRONMENT, "PYTHONPATH": str(checkout), "AWSDET_TURNS": "1"}
        self._options = {"args": [sys.executable, *command], "cwd": checkout, "env": environment}
        self._process = self.figures = None

    def take_turn(self):
        """Lets the program run to the end of its turn. Returns whether there is another one."""
        if self.figures is not None:
            return False
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(**self._options, stdin=pipe, stdout=pipe, text=True)
        else:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        line = ""
        for line in self._process.stdout:
            if line == "turn\n":
                return True
        if self._process.wait():
            sys.exit(f"{' '.join(self._process.args)} failed in {self._options['cwd']}")
        self.figures = json.loads(line)
        return False


def _numbers(value):
    values = value if isinstance(value, list) else [value]
    return np.array(values if all(isinstance(each, (int, float)) for each in values) else [], float)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=pathlib.Path)
    parser.add_argument("new", type=pathlib.Path)
    parser.add_argument("program", nargs="+", help="its path within a checkout, and its arguments")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each; odd ones let OLD begin")
    parser.add_argument("--json", help="also write the figures of all rounds to this file")
    main(parser.parse_args())
