"""MLPerf results: the files of a folder, and the score that they make.

A result is five runs. Its score is the mean of the minutes from run_start to run_stop without the best and the worst of
them; a run that missed the target counts as the worst, and there may be one.
"""

import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from awsdet.runtime import mllog
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_folder

BENCHMARK = "maskrcnn"
RUNS = 5  # per result
_FILES = "result_*.txt"


class Result(NamedTuple):
    """A run. minutes: from run_start to run_stop, infinite if the target was missed; epochs: None if not evaluated."""

    file: pathlib.Path
    minutes: float
    epochs: float | None


class Layout(NamedTuple):
    """A folder of results. package: whether it is laid out for submission. folders: those that hold results."""

    folder: pathlib.Path
    package: bool
    folders: list[pathlib.Path]


def find(folder: str) -> Layout:
    """The Layout of a folder: one with result_*.txt, or a package with results/SYSTEM/maskrcnn/result_*.txt.

    Raises UserError if there is no result.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(f"folder {root} {why_no_folder(root)}; name one with {_FILES}")
    if any(root.glob(_FILES)):
        return Layout(root, False, [root])
    folders = sorted({file.parent for file in root.glob(f"results/*/{BENCHMARK}/{_FILES}")})
    if not folders:
        raise UserError(
            f"folder {root} has neither {_FILES} nor results/SYSTEM/{BENCHMARK}/{_FILES}; scripts/run_and_time.sh "
            "writes such files"
        )
    return Layout(root, True, folders)


def results_of(folder: pathlib.Path) -> list[Result]:
    """The results in a folder, by name."""
    return [read(file) for file in sorted(folder.glob(_FILES))]


def read(file: pathlib.Path) -> Result:
    """The Result in a file."""
    first, last, epochs = None, None, None
    for event in mllog.read(file):
        if event.key == "run_start" and first is None:
            first = event.time_ms
        elif event.key == "eval_accuracy":
            epochs = event.metadata.get("epoch_num")
        elif event.key == "run_stop":
            last = event.time_ms if event.metadata.get("status") == "success" else None
    minutes = math.inf if first is None or last is None else (last - first) / 60_000
    return Result(file, minutes, epochs)


def score(results: Sequence[Result]) -> float | None:
    """The minutes of a result; infinite if two runs or more missed the target. None unless there are five."""
    if len(results) != RUNS:
        return None
    middle = sorted(result.minutes for result in results)[1:-1]
    return sum(middle) / len(middle)
