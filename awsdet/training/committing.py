"""Commits: what an elastic run goes on from in its own processes if one of them is lost, or others join."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.training.checkpoint import state_of
from awsdet.training.progress import Progress
from awsdet.training.snapshot import Snapshot


class Commit(NamedTuple):
    """The state of a run at its last update, in the memory of one process.

    world: the number of the world that made it; progress: Progress; values: Snapshot of the variables, without
    gradients that are being accumulated.
    """

    world: int
    progress: Progress
    values: Snapshot

    @property
    def age(self):
        """Of several commits the one of the highest age is the newest."""
        return self.world, self.progress.mark.step


def commit_of(run, metrics=None):
    """The Commit of the present state; metrics: of an evaluation at this step."""
    progress = run.progress(metrics)
    if progress.mark != progress.updated:
        progress = progress._replace(mark=progress.updated, metrics=None)
    return Commit(run.world.number, progress, Snapshot(state_of(run.detector, run.optimizer, accumulated=False)))


def put_back(commit, detector, optimizer):
    """Gives detector and optimizer the state of a Commit."""
    commit.values.put_back(state_of(detector, optimizer, accumulated=False))


class Committing(tf.keras.callbacks.Callback):
    """Commits every train.commit_every_steps steps, at each checkpoint and at the end of each epoch.

    All ranks do so at the same steps. It must come before Saving, so that no run goes on from before a checkpoint.

    Args:
        run: Run of an elastic world. saving: Saving.
        keep: function that takes each Commit.
    """

    _supports_tf_logs = True

    def __init__(self, run, saving, keep):
        super().__init__()
        self._run, self._saving, self._keep = run, saving, keep
        self._due = self._next(run.steps.step)

    def on_train_batch_end(self, batch, logs=None):
        """Commits if it is due."""
        step = self._run.steps.step
        if self._saving.due() or (self._due is not None and step >= self._due and self._run.steps.at_update):
            self.commit()

    def commit(self, metrics=None):
        """Commits now."""
        self._keep(commit_of(self._run, metrics))
        self._due = self._next(self._run.steps.step)

    def _next(self, step):
        every = self._run.config.train.commit_every_steps
        return step + every if every else None
