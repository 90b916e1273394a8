"""The queue before the model, and the process behind it, which is started again whenever it ends.

One thread takes requests from the queue, sends them to the process and hands out what comes back. A request that was
given up (its client has gone, its time is over) is not run.
"""

import collections
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from awsdet.export.contract import number_of
from awsdet.serve import messages
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused, busy

_ROOT = pathlib.Path(__file__).parents[2]
_LOOK_SECONDS = 0.2  # between two looks at whether the process lives and clients are there
_START_SECONDS = 600.0  # for loading the model and running it once
_FAILED_STARTS = 3  # one after the other, after which a model that has run before is given up


class Description(NamedTuple):
    """What the process says of its model.

    info: the content of awsdet.json. signatures: name -> SignatureDef as JSON. version: the number of its folder.
    """

    folder: str
    info: dict[str, Any]
    signatures: dict[str, Any]

    @property
    def version(self) -> str:
        number = number_of(self.folder)
        return "1" if number is None else str(number)


class Job:
    """Images on their way through the model.

    Args:
        signature: name of a signature. inputs: its arrays, all of the same first dimension. deadline: `time.monotonic`.
    """

    def __init__(self, signature: str, inputs: dict[str, np.ndarray], deadline: float):
        self.signature, self.inputs, self.deadline = signature, inputs, deadline
        self.count = len(next(iter(inputs.values())))
        self._done, self._outputs, self._refused = threading.Event(), {}, None

    def finish(self, outputs: dict[str, np.ndarray] | None = None, refused: Refused | None = None) -> None:
        """Says how it ended."""
        self._outputs, self._refused = outputs, refused
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """Waits for its end, so long at most. Returns whether it has ended."""
        return self._done.wait(seconds)

    def result(self) -> dict[str, np.ndarray]:
        """The outputs of a job that has ended. Raises Refused."""
        if self._refused:
            raise self._refused
        return self._outputs


class Model:
    """An exported model in a process of its own. `start` loads it.

    Args:
        folder: of the exported model, with saved_model.pb in it.
        limits: Limits.
        ended: called from another thread when the model cannot be started (again), with a line and an exit code.

    Attributes: description, None until the model has run once; restarts, how often the process was started again.
    """

    def __init__(self, folder: str, limits: Limits, ended):
        self._folder, self._limits, self._ended = folder, limits, ended
        self._jobs: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._process, self._socket = None, None
        self._ready, self._closing = False, False
        self.description: Description | None = None
        self.restarts = 0
        self._thread = threading.Thread(target=self._work, daemon=True, name="serve-model")

    def start(self) -> None:
        """Starts the process; `state` says when it is ready."""
        self._thread.start()

    def close(self) -> None:
        """Ends the process. What waits for it gets no result."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(10 * _LOOK_SECONDS)
        self._kill()

    @property
    def state(self) -> str:
        """ "starting", "ready" or "restarting"."""
        return "ready" if self._ready else "restarting" if self.description else "starting"

    @property
    def waiting(self) -> int:
        """How many requests wait or run."""
        return len(self._jobs) + (self._running is not None)

    @property
    def process(self) -> int | None:
        """The number of the process; None while there is none."""
        return self._process and self._process.pid

    def add(self, job: Job) -> None:
        """Queues a job. Raises Refused if too many wait."""
        with self._changed:
            if self.waiting >= self._limits.waiting:
                raise busy(f"{self.waiting} requests are waiting already; try again later")
            self._jobs.append(job)
            self._changed.notify_all()

    def give_up(self, job: Job) -> None:
        """Takes a job out of the queue, unless it runs already."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)

    # ------------------------------------------------------------------------------------- the thread of the process

    def _work(self):
        failures = 0
        while not self._closing:
            problem, code = self._launch()
            if not problem:
                failures = 0
                problem = self._serve()
                if self._closing:
                    return
                logging.error("the process of the model %s; it is started again", problem)
                self.restarts += 1
                continue
            failures += 1
            if not self.description or failures == _FAILED_STARTS:
                self._ended(f"the model cannot be started: {problem}", code)
                return
            logging.error("the process of the model could not be started again: %s", problem)

    def _launch(self):
        """Starts the process and waits until it is ready. Returns ("", 0), or (what is wrong, exit code)."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "awsdet.serve.worker", self._folder, str(theirs.fileno()), str(os.getpid())]
        path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr.fileno(),
                    pass_fds=[theirs.fileno()],
                    env={**os.environ, "PYTHONPATH": path},
                    start_new_session=True,  # Ctrl-C is for the server alone
                )
        except OSError as error:
            ours.close()
            return f"no process can be started: {error.strerror}", 1
        self._socket = ours
        ours.settimeout(_START_SECONDS)
        try:
            kind, content, _ = messages.receive(ours)
        except TimeoutError:
            self._kill()
            return f"it was not ready after {_START_SECONDS:.0f} s", 1
        except (EOFError, OSError):
            return f"its process {self._end()}", 1
        if kind == "failed":
            self._kill()
            return content["line"], content["code"]
        self.description = Description(**content)
        self._ready = True
        logging.info("the model is ready (process %d)", self._process.pid)
        return "", 0

    def _serve(self):
        """Runs jobs until the process ends. Returns how it ended."""
        while not self._closing:
            if self._process.poll() is not None:
                break
            self._running = self._next()
            if self._running is None:
                continue
            try:
                self._run(self._running)
            except TimeoutError:
                self._kill()
                self._running.finish(refused=Refused(504, f"the model took more than {self._limits.seconds:g} s"))
                return f"took more than {self._limits.seconds:g} s for one call and was ended"
            except (EOFError, OSError):
                end = self._end()
                self._running.finish(refused=busy(f"the process of the model {end}; it is started again", 10))
                return end
            finally:
                self._ready = self._process.poll() is None
                self._running = None
        return self._end()

    def _next(self):
        """The job whose turn it is; None if there was none within a moment."""
        with self._changed:
            if not self._jobs:
                self._changed.wait(_LOOK_SECONDS)
            return self._jobs.popleft() if self._jobs and not self._closing else None

    def _run(self, job):
        """One call of the model. Raises TimeoutError, EOFError or OSError if the process did not answer."""
        self._socket.settimeout(self._limits.seconds)
        messages.send(self._socket, "run", job.inputs, signature=job.signature)
        kind, content, outputs = messages.receive(self._socket)
        if kind == "done":
            job.finish(outputs)
        elif kind == "refused":
            where = f"image {content['index']}: " if content["index"] >= 0 and job.count > 1 else ""
            job.finish(refused=Refused(400, f"{where}{content['line']}"))
        else:
            job.finish(refused=Refused(500, content["line"]))

    def _kill(self):
        if self._process:
            self._process.kill()
            self._end()

    def _end(self):
        """Waits for the end of the process, which has closed its socket. Returns how it ended, in words."""
        self._ready = False
        self._socket.close()
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was ended by signal {-code}, {signal.Signals(-code).name} (SIGKILL: by hand, or for want of memory)"
