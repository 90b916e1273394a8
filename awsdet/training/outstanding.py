"""The score of an evaluation, computed by another process while training goes on.

What it is computed from lies in the run's folder until the result has been taken. So if the run ends before that,
however it ends, the run that goes on from it takes the score up.
"""

import contextlib
from typing import Any

from absl import logging

from awsdet import evaluation
from awsdet.evaluation.detections import Detections
from awsdet.evaluation.score_files import Evaluated
from awsdet.evaluation.score_process import ScoreProcess
from awsdet.runtime.together import together
from awsdet.training.run import Run


class Outstanding:
    """All ranks have one, and call its methods together unless it says otherwise; the chief has the process.

    Attributes: evaluated, where the outstanding score belongs; None if there is none.
    """

    def __init__(self, run: Run):
        self._run, self._files = run, run.inputs.folder.scoring
        self._process: ScoreProcess | None = None
        self._has_truth = self._wrote = False
        self.evaluated: Evaluated | None = None

    def begin(self, detections: Detections, evaluated: Evaluated) -> bool:
        """Has the detections scored, whose checkpoint is complete. Returns False if the chief could not arrange it."""
        begun = together(self._run.world, lambda: self._run.world.is_chief and self._begin(detections, evaluated))
        self.evaluated = evaluated if self._run.world.broadcast_object(begun) else None
        return self.evaluated is not None

    def resume(self) -> None:
        """Takes up a score that the run was waiting for when it ended, if the run goes on from there or later."""
        world = self._run.world
        self.evaluated = world.broadcast_object(together(world, lambda: self._left() if world.is_chief else None))

    def arrived(self) -> bool:
        """Whether the result is there; on ranks other than the chief always False. One rank may call it alone."""
        return self._process is not None and self._process.done()

    def result(self, seconds: float | None = None) -> dict[str, Any] | None:
        """The metrics, for which all ranks wait; None if they are not there within so many seconds. See `taken`.

        Raises UserError or RuntimeError if there is no score.
        """
        world, process = self._run.world, self._process
        metrics = world.broadcast_object(together(world, lambda: process.result(seconds) if world.is_chief else None))
        if metrics is not None:
            self._process = None
        return metrics

    def taken(self) -> None:
        """Forgets the score: all that follows from it is done."""
        if self.evaluated is not None and self._run.world.is_chief:
            self._run.inputs.folder.checkpoints.held = None
            self._files.discard()
        self.evaluated = None

    def close(self) -> None:
        """Ends the process; whoever resumes the run takes an outstanding score up. One rank may call it alone."""
        if self._process is not None:
            self._process.end()
            self._process = None
        # If a rank was lost while they agreed on a score, `evaluated` does not tell of it, but its files are there.
        if self._wrote and not self._files.detected:
            self._clear()

    def _begin(self, detections, evaluated):
        self._wrote = True
        if not self._has_truth:  # the same for each evaluation
            truth = evaluation.truth_of(self._run.inputs.evaluation)
        try:
            if not self._has_truth:
                self._files.write_truth(truth)
                self._has_truth = True
            self._files.write_detections(detections, evaluated)
            self._start(evaluated)
        except OSError as error:
            logging.warning("no process can be had that scores (%s), so all ranks wait for rank 0 to do it", error)
            self._clear()
            return False
        return True

    def _start(self, evaluated):
        folder = self._run.inputs.folder
        self._process = ScoreProcess(self._files, folder.results, self._run.config.train.official_metric)
        folder.checkpoints.held = folder.checkpoints.path_of(evaluated.step)

    def _clear(self):
        self._has_truth = False
        with contextlib.suppress(OSError):  # how the run goes on, or ended, does not depend on it
            self._files.remove()

    def _left(self):
        self._wrote, evaluated = True, self._files.evaluated()
        if evaluated is None:
            return None
        checkpoints = self._run.inputs.folder.checkpoints
        if evaluated.step > self._run.steps.step or checkpoints.path_of(evaluated.step) not in checkpoints.all():
            self._files.discard()  # it is evaluated again, or there is nothing left that the score could belong to
            checkpoints.held = None
            return None
        logging.info("the evaluation at step %d was not scored yet; this is done now", evaluated.step)
        self._start(evaluated)
        return evaluated
