"""Has CUDA compile TensorFlow's kernels once per host, before the ranks of a job start, if its library has none ready.

For a GPU that is newer than TensorFlow's machine code (an H100), the driver compiles each kernel at its first use: 30
minutes or longer in all. Ranks that started so would compile the same, each for itself, and wait for each other beyond
train.stall_seconds. So before they join Horovod and touch their GPUs

    on each host, one of them takes the lock of CUDA's cache and runs `warm_child`, the others wait for the lock;
    the process that has compiled leaves a mark in the cache, by which later jobs know that there is nothing to do;
    the ranks of all hosts meet (`warm_meeting`), then start. In an elastic job they meet where they always do.

If a host cannot compile first (no room for the cache, the child fails or takes too long), the job starts all the same:
its ranks compile as they go, and train.stall_seconds is raised to train.warm_seconds for this job. SIGTERM ends it all,
with exit code 0, as later in a run.
"""

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging

from awsdet.runtime import compute_cache, gpu_fit, gpus, processes
from awsdet.runtime.compute_cache import ComputeCache, Unusable
from awsdet.runtime.stall import KeyValueStore
from awsdet.runtime.version import __version__
from awsdet.training.inputs import prepare
from awsdet.training.settings import with_batch_size
from awsdet.training.stop import StopFlag
from awsdet.training.warm_meeting import Meeting

_SLEEP_SECONDS = 0.5  # between two looks at what is waited for
_FIRST_LINE_SECONDS, _LINE_SECONDS = 5.0, 60.0  # until a line tells of a wait, and between two lines
_MEET_SECONDS = 60.0  # for hosts whose time is up to say so
_END_SECONDS = 5.0  # for the child to end after SIGTERM, then after SIGKILL


class Warmed(NamedTuple):
    """stopped: whether the job ends here, by SIGTERM. stall_seconds: what train.stall_seconds is in this job."""

    stopped: bool
    stall_seconds: float


class Request(NamedTuple):
    """What the child is to do: the flags of `awsdet train`."""

    config: str
    overrides: Sequence[str]
    output: str
    resume: bool


class _Stopped(Exception):
    """This rank or another one was told to stop."""


class _Late(Exception):
    """What is waited for has taken longer than train.warm_seconds."""


class _Wait:
    """A wait of at most `limit` seconds for what other processes do; it ends early if `stopped()`."""

    def __init__(self, limit: float, stopped: Callable[[], bool]):
        self.limit, self._stopped, self._begun = limit, stopped, time.monotonic()
        self._next_line = self._begun + _FIRST_LINE_SECONDS

    def longer(self, seconds: float) -> "_Wait":
        """A wait that begins now and whose limit is greater by so many seconds."""
        return _Wait(self.limit + seconds, self._stopped)

    def pause(self, text: str = "") -> None:
        """Sleeps for a moment. Now and then it logs `text`, if there is any, with the minutes so far.

        Raises _Stopped or _Late.
        """
        waited = time.monotonic() - self._begun
        if self._stopped():
            raise _Stopped
        if waited > self.limit:
            raise _Late
        if text and time.monotonic() > self._next_line:
            self._next_line = time.monotonic() + _LINE_SECONDS
            logging.info("%s: %d minute(s) so far", text, waited / 60)
        time.sleep(_SLEEP_SECONDS)


def first_gpu() -> gpu_fit.Gpu | None:
    """The first GPU that TensorFlow sees; None if it sees none. Does not touch it."""
    visible = tf.config.list_physical_devices("GPU")
    return gpu_fit.details(tf.config.experimental.get_device_details(visible[0]), None) if visible else None


def warm_up(
    config: Any,
    request: Request,
    find_gpu: Callable[[], gpu_fit.Gpu | None] = first_gpu,
    child: Sequence[str] = (sys.executable, "-m", "awsdet.training.warm_child"),
) -> Warmed:
    """Compiles what this job needs, or waits until another process has. Every rank calls it, before `processes.start`.

    Does nothing for a single process, which keeps nobody waiting; without a GPU, or for one that TensorFlow's library
    has machine code for; or if train.warm_seconds is 0.

    Args:
        config: ConfigDict of the run. request: for the child.
        find_gpu: function that returns the Gpu that this process sees first, or None. child: the child's command.
    """
    limits, place = config.train, processes.place()
    alone = place is None or (place.size == 1 and not processes.is_elastic())
    gpu = None if alone or not limits.warm_seconds else find_gpu()
    if gpu is None or not gpu.capability or not gpu_fit.compiles_first(gpu.capability):
        return Warmed(False, limits.stall_seconds)
    config = with_batch_size(config, place.size, processes.is_elastic())
    if config.data.global_batch_size:  # the child is alone, and cannot know its share
        request = request._replace(overrides=(*request.overrides, f"data.batch_size={config.data.batch_size}"))
    store = None if processes.is_elastic() else KeyValueStore.find()
    meeting = Meeting(store, place.rank, place.size) if store else None
    with StopFlag() as flag:
        if place.rank == 0:  # mistakes are told before half an hour is spent
            prepare(config, request.output, request.resume, place.size, chief=not processes.is_elastic())
        wait = _Wait(limits.warm_seconds, lambda: flag.is_set() or (meeting is not None and meeting.stopped()))
        longer = wait.longer(_MEET_SECONDS)
        try:
            problem = _warm_host(_facts(config, gpu), request, child, wait, speaks=place.local_rank == 0)
            if meeting is not None:
                problem = _meet(meeting, problem, longer)
            if flag.is_set():
                raise _Stopped
        except _Stopped:
            if meeting is not None:
                meeting.stop()
            if place.local_rank == 0:
                logging.info("stopped by SIGTERM before the first step, while GPU kernels were compiled; they are kept")
            return Warmed(True, limits.stall_seconds)
    speaks = place.rank == 0 if meeting is not None else place.local_rank == 0
    return Warmed(False, _stall_seconds(limits, problem, speaks))


def _stall_seconds(limits, problem, speaks):
    """What train.stall_seconds is in this job. limits: config.train; problem: why a host has no compiled kernels."""
    if not problem:
        return limits.stall_seconds
    raised = max(limits.stall_seconds, limits.warm_seconds)
    if speaks:
        logging.warning(
            "the ranks start without compiled GPU kernels (%s); each compiles them in its first steps, which may take "
            "30 minutes or longer, so in this job a rank may keep the others waiting for %d s, not %d "
            "(train.stall_seconds)",
            problem,
            raised,
            limits.stall_seconds,
        )
    return raised


def _facts(config, gpu):
    """By what a mark knows whether the same kernels would be compiled again: a dict. The driver drops the kernels of
    another version of itself; sizes and other settings hardly matter."""
    model = config.model
    return {
        "capability": list(gpu.capability),
        "driver": gpus.driver(),
        "tensorflow": tf.__version__,
        "awsdet": __version__,
        "detector": model.detector,
        "backbone": model.backbone.name,
        "norm": model.backbone.norm,
        "precision": model.precision,
        "optimizer": config.optimizer.name,
    }


def _warm_host(facts, request, child, wait, speaks):
    """Returns why this host has no compiled kernels, in words; empty if it has. speaks: whether this rank logs."""
    host = _host()
    try:
        cache = ComputeCache.find()
    except Unusable as unusable:
        return f"{host}: {unusable}"
    too_small = compute_cache.size_problem(os.environ.get("CUDA_CACHE_MAXSIZE", str(gpu_fit.CACHE_BYTES)))
    if too_small and speaks:
        logging.warning("%s: %s", host, too_small)
    if cache.has(facts):
        return ""
    capability = gpu_fit.dotted(facts["capability"])
    text = (
        f"{host} compiles GPU kernels for compute capability {capability}, which usually takes 30 minutes or longer "
        f"the first time; kept in {cache.folder}"
    )
    pause = functools.partial(wait.pause, text if speaks else "")
    try:
        with cache.locked(pause) as lock:
            if cache.has(facts):
                return ""
            problem = lock.failure
            if not problem:
                problem = _compile(cache, facts, _Child(child, request, pause), wait.limit)
                lock.note(problem)
    except _Late:
        problem = f"another process has held {cache.folder} for {wait.limit:.0f} s (train.warm_seconds)"
    except OSError as error:
        problem = f"CUDA's cache {cache.folder} cannot be used: {error.strerror}"
    return problem and f"{host}: {problem}"


def _compile(cache, facts, child, limit):
    """Runs the child and leaves the mark. Returns why it failed, in words; empty if it did not."""
    begun = time.monotonic()
    try:
        code, last_line = child.run()
    except _Late:
        return f"compiling was ended after {limit:.0f} s (train.warm_seconds); what was compiled is kept"
    except OSError as error:
        return f"the process that compiles could not be started: {error.strerror}"
    if code < 0:
        return f"the process that compiles was ended by {signal.Signals(-code).name}"
    if code:
        return f"the process that compiles failed: {last_line}"
    seconds, held = time.monotonic() - begun, cache.held() / 2**30
    logging.info("%s has compiled its GPU kernels in %.0f s; %s holds %.2f GiB", _host(), seconds, cache.folder, held)
    try:
        cache.mark(facts)
    except OSError as error:
        logging.warning("%s cannot be written: %s; the next job will compile again", cache.folder, error.strerror)
    return ""


class _Child:
    """The process that compiles.

    Args:
        command: its arguments. request: Request. pause: is called while it runs; if that raises, the child is ended.
    """

    def __init__(self, command, request, pause):
        self._command, self._request, self._pause = command, request, pause

    def run(self):
        """Runs it to its end. Returns its exit code and the last line that it printed."""
        with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+", errors="replace") as printed:
            json.dump({**self._request._asdict(), "parent": os.getpid()}, given)
            given.seek(0)
            process = subprocess.Popen(self._command, stdin=given, stdout=printed, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    self._pause()
            finally:
                _end(process)
            if process.returncode == -signal.SIGTERM:
                for _ in range(2):  # it was sent to this process too, which may learn of it a moment later
                    self._pause()
            printed.seek(0)
            lines = [line.strip() for line in printed if line.strip()]
            return process.returncode, lines[-1] if lines else f"exit code {process.returncode}"


def _host():
    """This machine's name, as the launcher calls it if it has said so."""
    return os.environ.get("HOROVOD_HOSTNAME") or socket.gethostname()


def _end(process):
    for end in (process.terminate, process.kill):
        if process.poll() is None:
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)


def _meet(meeting, problem, wait):
    """The problem of the first rank that has one; empty if none has."""

    def pause(missing):
        shown = ", ".join(map(str, missing[:8])) + (", …" if len(missing) > 8 else "")
        wait.pause(f"rank(s) {shown} are not ready yet, since their hosts compile GPU kernels" if missing else "")

    try:
        return meeting.attend(problem, pause)
    except _Late:
        return f"not all hosts were ready within {wait.limit:.0f} s (train.warm_seconds)"
