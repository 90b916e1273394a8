"""Looks for the checkpoints that a run publishes while another process trains it, perhaps on another machine."""

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from absl import logging

from awsdet.inference import checkpoint
from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
from awsdet.training.evaluations_folder import mark_of
from awsdet.training.run_folder import LOCK, End, read_end


class Look(NamedTuple):
    """What there is to do: evaluate the checkpoint `path` if there is one. `over`: nothing more will come."""

    path: pathlib.Path | None = None
    over: bool = False


class Lookout:
    """Finds the checkpoints of a run that were not evaluated yet, oldest first.

    Args:
        run: the run's folder; need not exist yet.
        marks: function that returns step -> mark (see `mark_of`) of the checkpoints that were evaluated.
        wait_seconds: for how long neither a new checkpoint nor a sign of life of the run may come.

    Attributes: problem, why nothing more will come though the run is not complete; empty as long as it may.
    """

    def __init__(self, run: pathlib.Path, marks: Callable[[], Mapping[int, str]], wait_seconds: float):
        self._run, self._root, self._marks = run, run / "checkpoints", marks
        self._wait_seconds, self.problem = wait_seconds, ""
        self._pending, self._told, self._damaged = set(), set(), []
        self._sign, self._since = None, time.monotonic()

    def look(self) -> Look:
        """Looks once. Raises UserError if the run's files cannot be understood."""
        end = read_end(self._run)  # first: what it wrote before its end is then there
        pending = self._unevaluated()
        for path in sorted(self._pending - set(pending)):
            logging.warning(
                "the run has dropped %s before it was evaluated; with a higher train.keep_last it keeps more", path.name
            )
        self._pending = set(pending)
        if pending:
            self._since = time.monotonic()
            return Look(pending[0])
        if end is not None and end.how == "complete":
            if self._damaged:
                self.problem = (
                    f"the run is complete, but damaged and so not evaluated: {', '.join(self._damaged)}; if it is "
                    "still being copied, give the same command again afterwards"
                )
            return Look(over=True)
        self._tell(end)
        self._check_alive(end)
        return Look(over=bool(self.problem))

    def lost(self, path: pathlib.Path) -> None:
        """Tells of a checkpoint that was dropped while it was taken in."""
        self._pending.discard(path)
        logging.warning("the run has dropped %s while it was read, so it is not evaluated", path.name)

    def taken(self, path: pathlib.Path) -> None:
        """Notes that a checkpoint was taken in, so that nothing is lost if the run drops it."""
        self._pending.discard(path)
        self._since = time.monotonic()

    def _unevaluated(self):
        marks, found, self._damaged = self._marks(), [], []
        evaluated = {f"{checkpoint.PREFIX}{step:08d}" for step in marks}
        for path in sorted(self._root.glob(f"{checkpoint.PREFIX}*")):
            problem = checkpoint.damage(path)
            if problem and path.is_dir():  # one that is being copied looks damaged until it is whole
                self._once(f"passing over {problem}", logging.warning)
                if path.name not in evaluated:
                    self._damaged.append(path.name)
            if problem:
                continue
            try:
                info = checkpoint.read_info(path)
            except UserError:  # it has just been dropped
                continue
            if marks.get(info["step"]) != mark_of(info):
                found.append(path)
        return found

    def _tell(self, end: End | None):
        if end is not None:
            self._once(f"the run {_words(end)}; waiting for it to go on", logging.info)
        elif not self._root.is_dir():
            self._once(f"{self._run} has no checkpoint yet; waiting for the first", logging.info)
        else:
            self._once(f"waiting for the next checkpoint in {self._root}", logging.info)

    def _once(self, text, log):
        if text not in self._told:
            self._told.add(text)
            log("%s", text)

    def _check_alive(self, end):
        sign = owner.last_sign(self._run / LOCK)
        if sign is not None and sign != self._sign:
            self._sign, self._since = sign, time.monotonic()
            return
        if time.monotonic() - self._since < self._wait_seconds:
            return
        ended = "it is not complete" if end is None else f"it {_words(end)}"
        self.problem = (
            f"no new checkpoint of {self._run} and no sign of life for {self._wait_seconds:g} s, and {ended}; the same "
            "command goes on from here, and --wait-seconds has it wait longer"
        )


def _words(end):
    return f"was stopped at step {end.step:,}" if end.how == "stopped" else "has failed"
