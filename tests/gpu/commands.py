"""Runs a command with all that it starts, and ends them together if they take too long."""

import os
import signal
import subprocess
import tempfile
from typing import NamedTuple


class Ended(NamedTuple):
    """code: the exit code, negative for a signal, None if the time was over; output, errors: what it wrote."""

    code: int | None
    output: str
    errors: str

    def last_words(self):
        """The last two lines that it wrote, errors last, as one; without those that TensorFlow writes at each start."""
        lines = [line.strip() for line in f"{self.output}\n{self.errors}".splitlines() if line.strip()]
        lines = [line for line in lines if "Unable to register" not in line]
        return " / ".join(lines[-2:]) if lines else "it wrote nothing"


def call(command, seconds, environment=None, folder=None, grace=5.0):
    """Runs a command for at most these seconds; then it gets SIGTERM and, after `grace` seconds, SIGKILL.

    Returns an Ended. Whatever it has started and left behind is ended too, also if this process is interrupted.
    """
    with (
        tempfile.TemporaryFile("w+", errors="replace") as output,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
    ):
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=errors, env=environment, cwd=folder, start_new_session=True
        )
        try:
            code = process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            code = None
            process.terminate()
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                pass
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all of them have ended
            process.wait()
        output.seek(0)
        errors.seek(0)
        return Ended(code, output.read(), errors.read())


def with_path(root):
    """The environment, in which Python finds the packages in the folder `root` first."""
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path}
