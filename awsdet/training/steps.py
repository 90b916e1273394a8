"""How far a run has got."""

from typing import NamedTuple

import tensorflow as tf

from awsdet.data.reader.position import Position


class Mark(NamedTuple):
    """A point of a run. images: read so far over all ranks, with those that completed batches."""

    step: int = 0
    images: int = 0
    position: Position = Position()


class Steps(tf.keras.callbacks.Callback):
    """Counts the training steps of the run (Keras counts those of an epoch). Must be the first of the callbacks.

    Args:
        start: Mark where this process begins to count, or the number of a step of a run whose steps are all alike.
        per_epoch: steps per epoch.
        total: the step where the run ends.
        left: steps left of the epoch of `start`; None: its steps are as many as those of the others.
        images: per step, over all ranks.
        accumulate: steps per update.
        updated: Mark of the last update; None: `start`.

    Attributes: step, the number of training steps done; and those of the arguments.
    """

    _supports_tf_logs = True

    def __init__(self, start, per_epoch, total, left=None, images=1, accumulate=1, updated=None):
        super().__init__()
        if isinstance(start, int):
            position = Position(start // per_epoch).advanced(images, start % per_epoch)
            start = Mark(start, start * images, position)
        self.step, self.per_epoch, self.total, self.images = start.step, per_epoch, total, images
        self._start, self._updated, self._accumulate = start, updated or start, accumulate
        self._left = per_epoch - start.step % per_epoch if left is None else left

    @property
    def epoch(self):
        """The number of whole epochs done."""
        return self._epoch_and_rest(self.step)[0]

    @property
    def rest(self):
        """The number of steps left of the epoch that has begun; of the next one if none has."""
        return self._epoch_and_rest(self.step)[1]

    @property
    def epochs(self):
        """The number of epochs done, with the part of the one that has begun."""
        return (self.epoch * self.per_epoch + self.per_epoch - self.rest) / self.per_epoch

    @property
    def last_epoch(self):
        """The number of epochs at the end of the run, the last of which may be broken off."""
        return self._epoch_at(self.total)

    @property
    def current_epoch(self):
        """The number, from 1, of the epoch that the last step belongs to."""
        return self._epoch_at(self.step)

    @property
    def at_epoch_end(self):
        """Whether the last step completed an epoch or the run."""
        return not self.mark.position.segments or self.step == self.total

    def at_share(self, count):
        """Whether the last step completed the run, or an epoch in which one of `count` even shares of the run ended."""
        before = max(0, self.step - self.per_epoch)
        return self.step == self.total or (
            self.at_epoch_end and self.step * count // self.total > before * count // self.total
        )

    @property
    def mark(self):
        """Mark of the present step."""
        return self._mark_at(self.step)

    @property
    def updated(self):
        """Mark of the last update of the weights, or of the start if there was none since."""
        first = self._updated.step
        step = first + (self.step - first) // self._accumulate * self._accumulate
        return self._mark_at(step) if step > self._start.step else self._updated

    @property
    def at_update(self):
        """Whether the last step completed an update."""
        return self.updated.step == self.step

    def on_train_batch_end(self, batch, logs=None):
        """Counts one more step."""
        self.step += 1

    def _epoch_and_rest(self, step):
        """(whole epochs done, steps left of the next one) at a step."""
        later = step - self._start.step - self._left
        epoch = self._start.position.epoch
        if later < 0:
            return epoch, -later
        return epoch + 1 + later // self.per_epoch, self.per_epoch - later % self.per_epoch

    def _epoch_at(self, step):
        """The number, from 1, of the epoch that a step belongs to."""
        return self._epoch_and_rest(step)[0] + bool(self._mark_at(step).position.segments)

    def _mark_at(self, step):
        epoch, rest = self._epoch_and_rest(step)
        start = self._start
        if epoch == start.position.epoch:
            position = start.position.advanced(self.images, step - start.step)
        else:
            position = Position(epoch).advanced(self.images, self.per_epoch - rest)
        return Mark(step, start.images + (step - start.step) * self.images, position)
