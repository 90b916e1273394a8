"""After how many training steps the gradients are applied."""

import tensorflow as tf


class Accumulation:
    """Counts the steps of an update. An object of its own, so that Keras does not count its variables as the model's.

    Args:
        steps: training steps per update.
        changes: whether `set` may be called once the training step is traced; the numbers are then variables.
    """

    def __init__(self, steps: int = 1, changes: bool = False):
        self.changes, self.steps, self._first = changes, steps, 0
        if changes:
            with tf.device("CPU:0"):
                self._variables = [tf.Variable(value, dtype=tf.int64, trainable=False) for value in (steps, 0)]

    def set(self, steps: int, first: int = 0) -> None:
        """Sets the steps per update. `first`: number of a step with which an update begins."""
        self.steps, self._first = steps, first
        if self.changes:
            for variable, value in zip(self._variables, (steps, first)):
                variable.assign(value)

    @property
    def kind(self) -> tuple:
        """What a traced training step cannot change.

        With one step per update it sends each gradient as soon as that is computed. With more it cannot, since it
        learns only at the end whether to send at all. So these are two graphs, also if the number may change.
        """
        return (self.steps > 1,) if self.changes else (self.steps, self._first)

    @property
    def share(self) -> tf.Tensor | int:
        """By how much a step's gradients are divided, for the training step."""
        if not self.changes:
            return self.steps
        with tf.device("CPU:0"):
            return tf.cast(self._variables[0], tf.float32)

    def completes(self, step: tf.Tensor) -> tf.Tensor:
        """Whether an update is complete after step number `step` (int64, from 0), for the training step.

        The host decides about it, so `step` should be there.
        """
        steps, first = self._variables if self.changes else (self.steps, self._first)
        with tf.device("CPU:0"):
            return (step + 1 - first) % steps == 0
