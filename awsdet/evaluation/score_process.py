"""Has a score computed in another process while this one goes on."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import psutil
from absl import logging

from awsdet.evaluation.score_files import ScoreFiles

_CHILD = (sys.executable, "-m", "awsdet.evaluation.score_child")
_ROOT = pathlib.Path(__file__).parents[2]
_IDLE_SECONDS = 60.0  # without any use of the processor, after which the child is taken for one that hangs
_LOOK_SECONDS = 0.5
_KILLED_SECONDS = 5.0  # until a child that was killed is gone
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ScoreProcess:
    """A child process that scores; see `score_child`.

    Args:
        files: ScoreFiles, with ground truth and detections. output, official: see `scoring.score`.
        child: the child's command.

    Raises OSError if it cannot be started.
    """

    def __init__(
        self, files: ScoreFiles, output: str | os.PathLike | None, official: bool, child: Sequence[str] = _CHILD
    ):
        self._files, self._output, self._official = files, output, official
        request = {
            "folder": os.path.abspath(files.folder),
            "output": output and os.path.abspath(output),
            "official": official,
            "parent": os.getpid(),
        }
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, **dict.fromkeys(_THREADS, "1")}
        self._printed = tempfile.TemporaryFile("w+", errors="replace")
        with tempfile.TemporaryFile("w+") as given:
            json.dump(request, given)
            given.seek(0)
            self._process = subprocess.Popen(
                child, stdin=given, stdout=self._printed, stderr=subprocess.STDOUT, env=environment
            )

    def done(self) -> bool:
        """Whether the child has ended, well or not."""
        return self._process.poll() is not None

    def result(self, seconds: float | None = None) -> dict[str, Any] | None:
        """The metrics, for which it waits; None if they are not there within so many seconds.

        If the child failed, or used no processor for a minute, this process computes the score itself, unless it is
        given a time; for its errors see `ScoreFiles.score`.
        """
        problem = self._wait(seconds)
        if problem is None:
            return None
        if not problem:
            try:
                metrics = self._files.metrics()
                for line in self._lines():
                    logging.info("%s", line)
                return metrics
            except (OSError, ValueError) as error:
                problem = f"it left no result ({error})"
        if seconds is not None:
            logging.warning("the process that scores failed: %s; there is no time to repeat that", problem)
            return None
        logging.warning("the process that scores failed: %s; rank 0 repeats that itself", problem)
        return self._files.score(self._output, self._official)

    def end(self) -> None:
        """Ends the child if it has not ended."""
        if not self.done():
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_SECONDS)

    def _wait(self, seconds):
        """Why the child failed, in words; empty if it did not; None if it has not ended in time."""
        begun = moved = time.monotonic()
        used = -1.0
        while not self.done():
            now = time.monotonic()
            if seconds is not None and now - begun > seconds:
                return None
            if (seen := self._used()) > used:
                used, moved = seen, now
            elif now - moved > _IDLE_SECONDS:
                self.end()
                return f"it did nothing for {_IDLE_SECONDS:.0f} s and was killed"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LOOK_SECONDS)
        code = self._process.returncode
        if code < 0:
            return f"ended by signal {-code}, {signal.Signals(-code).name} (SIGKILL: by hand, or for want of memory)"
        return "" if code == 0 else (self._lines() or [f"exit code {code}"])[-1]

    def _used(self):
        """Seconds of the processor that the child has used."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return -1.0  # it has just ended
        return times.user + times.system

    def _lines(self):
        self._printed.seek(0)
        return [line.strip() for line in self._printed if line.strip()]
