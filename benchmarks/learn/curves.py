"""Statistics of the curves of several runs: smoothed losses, bands over seeds, time to an AP, rates.

Needs NumPy alone. Symbols: R runs (seeds), S steps, E evaluations.
"""

from typing import NamedTuple

import numpy as np

WARMUP = 10  # steps that do not count for a rate: tracing, and memory that is claimed for the first time
SMOOTH = 20  # steps of a running mean


class Curve(NamedTuple):
    """A quantity over the steps: mean, lowest and highest of the runs, [S] each."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Run(NamedTuple):
    """One finished run, as the files of its folder tell. `wall`, `cpu`: seconds of all its processes."""

    steps: list  # dicts: step, losses, seconds, cpu_seconds
    scores: list  # dicts: step, box_ap, mask_ap, pycocotools
    memory: list  # peak per process, in 10^6 bytes
    wall: float
    cpu: float
    batch: int  # images per step, over all processes


def running_mean(values, width=SMOOTH):
    """The mean of each of `values` [S] and up to width - 1 before it."""
    sums = np.cumsum(np.concatenate([[0.0], np.asarray(values, float)]))
    end = np.arange(1, len(sums))
    start = np.maximum(end - width, 0)
    return (sums[end] - sums[start]) / (end - start)


def loss_curve(runs, name):
    """The Curve of a smoothed loss. The runs must have recorded the same steps."""
    return _curve([line["step"] for line in runs[0].steps], _of(runs, "steps", lambda line: line["losses"][name]), True)


def ap_curve(runs, name):
    """The Curve of an AP at each evaluation."""
    return _curve([score["step"] for score in runs[0].scores], _of(runs, "scores", lambda score: score[name]), False)


def _of(runs, part, value):
    steps = [[entry["step"] for entry in getattr(run, part)] for run in runs]
    if any(one != steps[0] for one in steps):
        raise ValueError(f"the runs have {', '.join(str(len(one)) for one in steps)} {part}; they must have the same")
    return [[value(entry) for entry in getattr(run, part)] for run in runs]


def _curve(steps, rows, smooth):
    rows = np.array([running_mean(row) if smooth else row for row in rows])
    return Curve(np.array(steps), rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0))


def images_per_second(run):
    """Images per second of training, without the first steps and without evaluations."""
    first = min(WARMUP, len(run.steps) - 1)
    begin = run.steps[first - 1]["seconds"] if first else 0.0
    return run.batch * (len(run.steps) - first) / (run.steps[-1]["seconds"] - begin)


def time_to(run, name, threshold):
    """(seconds, processor seconds) of training until an evaluation reached an AP; None if none did."""
    at = {line["step"]: line for line in run.steps}
    for score in run.scores:
        if score[name] >= threshold:
            return at[score["step"]]["seconds"], at[score["step"]]["cpu_seconds"]
    return None


def final(runs, name):
    """(mean, spread) of the AP of the last evaluation; the spread is highest minus lowest."""
    values = [run.scores[-1][name] for run in runs]
    return float(np.mean(values)), max(values) - min(values)


def largest_difference(run, other):
    """The largest difference of the smoothed total losses of two runs, divided by the mean of the first run's."""
    one, two = (running_mean([line["losses"]["loss"] for line in each.steps]) for each in (run, other))
    return float(np.abs(one - two).max() / one.mean())
