"""What a learning program writes while it trains: a line of steps.jsonl per step, and times without evaluations."""

import json
import pathlib
import resource
import time


class Recorder:
    """Writes FOLDER/steps.jsonl: step, its losses, and the seconds and processor seconds of the training so far.

    A resumed run goes on after the lines that it finds, up to the step that it resumes at.
    """

    def __init__(self, folder):
        self._path = pathlib.Path(folder) / "steps.jsonl"
        self._lines, self._seconds, self._cpu = None, 0.0, 0.0
        self._last = None

    def start(self, step):
        """Starts the clocks, before step number `step` (counted from 0) or after an evaluation."""
        if self._lines is None:
            self._lines = [line for line in read_lines(self._path) if line["step"] <= step]
            if self._lines:
                self._seconds, self._cpu = (self._lines[-1][key] for key in ("seconds", "cpu_seconds"))
            self._path.write_text("".join(json.dumps(line) + "\n" for line in self._lines))
        self._last = self._now()

    def step(self, step, losses):
        """Records step number `step`, counted from 1. `losses`: dict of floats."""
        now = self._now()
        self._seconds += now[0] - self._last[0]
        self._cpu += now[1] - self._last[1]
        self._last = now
        line = {"step": step, "losses": losses, "seconds": self._seconds, "cpu_seconds": self._cpu}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @staticmethod
    def _now():
        return time.perf_counter(), time.process_time()


def read_lines(path):
    """The JSON objects of a file of lines; none if there is no file. A line that was cut off is left out."""
    path = pathlib.Path(path)
    if not path.exists():
        return []
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def peak_megabytes():
    """The most memory that this process has held since it began, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
