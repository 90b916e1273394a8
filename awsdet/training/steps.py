"""How far a run has got."""

import tensorflow as tf


class Steps(tf.keras.callbacks.Callback):
    """Counts the training steps of the run (Keras counts those of an epoch). Must be the first of the callbacks.

    Attributes: step, the number of training steps done; per_epoch, steps per epoch; total, the step where the run ends.
    """

    _supports_tf_logs = True

    def __init__(self, step, per_epoch, total):
        super().__init__()
        self.step, self.per_epoch, self.total = step, per_epoch, total

    @property
    def epoch(self):
        """The number of whole epochs done."""
        return self.step // self.per_epoch

    @property
    def at_epoch_end(self):
        """Whether the last step completed an epoch or the run."""
        return self.step % self.per_epoch == 0 or self.step == self.total

    def on_train_batch_end(self, batch, logs=None):
        """Counts one more step."""
        self.step += 1
