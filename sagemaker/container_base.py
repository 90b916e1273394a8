"""What the parts of the entry point share: paths, numbers from the environment, outcomes, child processes."""

import collections
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
from typing import NamedTuple

from awsdet.runtime.errors import UserError

HOME = pathlib.Path(os.environ.get("AWSDET_HOME") or pathlib.Path(__file__).resolve().parents[1])
FAILURE_LENGTH = 1023  # SageMaker shows the first 1024 characters
_SAY = threading.Lock()


class JobFailed(Exception):
    """The job failed, and not by a mistake in its settings: exit code 1. Its text is one line."""


class Outcome(NamedTuple):
    """How the job ended on this host. code: exit code. reason: empty if it is 0."""

    code: int
    reason: str = ""


class Paths(NamedTuple):
    """The folders of a job."""

    root: pathlib.Path

    @property
    def config(self):
        """Folder of the files that describe the job."""
        return self.root / "input" / "config"

    @property
    def channels(self):
        """Folder that holds one folder per channel."""
        return self.root / "input" / "data"

    @property
    def run(self):
        """The run folder. SageMaker keeps a copy of `checkpoints` in S3, and brings it back when a job goes on."""
        return self.root / "checkpoints" / "run"

    @property
    def model(self):
        """What becomes model.tar.gz."""
        return self.root / "model"

    @property
    def output(self):
        """What becomes output.tar.gz."""
        return self.root / "output" / "data"

    @property
    def tensorboard(self):
        """What SageMaker copies to the S3 address of TensorBoard while the job runs."""
        return self.root / "output" / "tensorboard"

    @property
    def failure(self):
        """The file that tells the user why the job failed."""
        return self.root / "output" / "failure"

    @property
    def scratch(self):
        """Folder for archives and converted records; nothing in it is uploaded."""
        given = os.environ.get("AWSDET_SCRATCH")  # may hold other things too, which are not ours to remove
        return pathlib.Path(given) / "awsdet-scratch" if given else self.root / "scratch"


def job_paths():
    """The Paths of this job."""
    return Paths(pathlib.Path(os.environ.get("AWSDET_SM_ROOT") or "/opt/ml"))


def number(name, default, least=1):
    """The whole number in an environment variable. Raises UserError if it is none, or smaller than `least`."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"the environment variable {name} is {text!r}; it must be a whole number from {least} up")
    return int(text)


def switch(name, default=False):
    """Whether an environment variable is 1 or true. Raises UserError if it is neither these nor 0, false or empty."""
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text not in ("0", "1", "true", "false"):
        raise UserError(f"the environment variable {name} is {text!r}; it must be 1 or 0")
    return text in ("1", "true")


def say(text):
    """Writes one line of our own to the log of the job."""
    put(f"awsdet job: {text}")


def put(line):
    """Writes one line to the log of the job; lines of several threads do not mix."""
    with _SAY:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def write_failure(paths, reason):
    """Leaves the reason for SageMaker to show. Does not raise: the exit code says the rest."""
    try:
        paths.failure.parent.mkdir(parents=True, exist_ok=True)
        paths.failure.write_text(reason[:FAILURE_LENGTH])
    except OSError as error:
        say(f"{paths.failure} could not be written: {error.strerror}")


class Child:
    """A child process whose output goes to the log of the job, line by line.

    Args:
        command: list of strings.
        ended: called with the exit code, in another thread, once the process and its output have ended.
        log: file that gets the output too, or None. show: whether the log of the job gets it.

    Attributes: tail, the last lines.
    """

    def __init__(self, command, ended, log=None, show=True):
        self.tail = collections.deque(maxlen=400)
        self._ended, self._log, self._show = ended, log, show
        # In a session of its own, so that it and all its children can be killed at once.
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        threading.Thread(target=self._read, daemon=True, name="child-output").start()

    def signal(self, number):
        """Sends a signal to the process itself, unless it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self):
        """Ends the process and all that it started in its session."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def _read(self):
        log = _LineFile(self._log)
        try:
            for line in self._process.stdout:
                line = line.decode(errors="replace").rstrip("\n")
                self.tail.append(line)
                if self._show:
                    put(line)
                log.write(line)
        finally:  # whatever happened to the output, somebody waits for this
            log.close()
            self._process.stdout.close()  # a process that still writes must not wait for a reader for ever
            self._ended(self._process.wait())


class _LineFile:
    """A file that lines are appended to. If the disk is full, it says so once and takes no more. `path`: or None."""

    def __init__(self, path):
        self._path, self._file = path, None
        if path is not None:
            try:
                self._file = path.open("ab", buffering=0)
            except OSError as error:
                self._drop(error)

    def write(self, line):
        if self._file is not None:
            try:
                self._file.write(line.encode(errors="replace") + b"\n")
            except OSError as error:
                self._drop(error)

    def close(self):
        if self._file is not None:
            self._file.close()

    def _drop(self, error):
        self.close()
        self._file = None
        say(f"{self._path} cannot be written ({error.strerror}); it ends here, and the training goes on")


def run_child(command, registry, show=True):
    """Runs a command to its end. Returns (exit code, its last lines).

    `registry`: set of the running Child objects, so that others can kill it. `show`: see Child.
    """
    done = threading.Event()
    codes = []

    def ended(code):
        codes.append(code)
        done.set()

    child = Child(command, ended, show=show)
    registry.add(child)
    done.wait()
    registry.discard(child)
    return codes[0], list(child.tail)


def awsdet(command, *arguments):
    """The command line of an awsdet command, with this Python."""
    return [sys.executable, "-m", "awsdet.cli.main", command, *map(str, arguments)]


def clean_leftovers(paths, job_name, owns_scratch=True):
    """Removes what an earlier job left on this machine (a warm pool keeps it).

    Our own scratch folder says for which job it was made. Model and output belong to the job that runs, so what is
    there from another job of ours would be uploaded as this job's. Checkpoints stay: SageMaker put them there.

    `owns_scratch`: whether no other host uses the same scratch folder, or this is the one to look after it.
    """
    paths.failure.unlink(missing_ok=True)
    if not owns_scratch:
        return
    marker = paths.scratch / "job"
    before = marker.read_text() if marker.is_file() else None
    if before not in (None, job_name):
        say(f"removing what the job {before or 'before'} left in {paths.scratch}, {paths.model} and {paths.output}")
        for folder in (paths.scratch, paths.model, paths.output, paths.tensorboard):
            for entry in folder.iterdir() if folder.is_dir() else ():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    paths.scratch.mkdir(parents=True, exist_ok=True)
    marker.write_text(job_name)
