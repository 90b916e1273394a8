"""Saves checkpoints of a run while it trains."""

import tensorflow as tf

from awsdet.models.layers import norms
from awsdet.runtime.together import together
from awsdet.training.run_folder import versions


class Saving(tf.keras.callbacks.Callback):
    """Saves at the end of each epoch and every train.checkpoint_every_steps steps. All ranks call its methods.

    With train.max_evaluations, only at the end of the epochs that may be evaluated: other epochs may last a second.

    Args:
        run: Run.
        saved: step of the checkpoint that the run goes on from, or None.
    """

    _supports_tf_logs = True

    def __init__(self, run, saved=None):
        super().__init__()
        self._run, self._saved = run, saved
        self._checkpoints = run.inputs.folder.checkpoints

    @property
    def failed(self):
        """Whether the checkpoint that was begun could not be written."""
        return self._checkpoints.failed

    def due(self):
        """Whether there is to be a checkpoint of the present step."""
        return checkpoint_due(self._run.steps, self._run.config.train)

    def on_train_batch_end(self, batch, logs=None):
        """Saves if it is due."""
        if self.due():
            self.save()

    def save(self):
        """Begins to write a checkpoint, unless there is one of this step. Raises UserError, on all ranks, if the
        checkpoint before could not be written."""
        step = self._run.steps.step
        if self._saved == step:
            return
        _share_statistics(self._run.detector, self._run.world)
        together(self._run.world, self._begin)
        self._saved = step

    def wait(self):
        """Waits until the checkpoint is complete. Raises UserError, on all ranks, if it could not be written."""
        together(self._run.world, self._checkpoints.wait)

    def rewind(self, step):
        """Removes the checkpoints after a step of which there is one. Raises what `wait` raises."""
        self.wait()
        if self._run.world.is_chief:
            self._checkpoints.drop_after(step)
        self._saved = step

    def settle(self):
        """As `wait`, but raises nothing: for a run that is ending with another error."""
        self._checkpoints.settle()

    def _begin(self):
        """On the chief, begins to write a checkpoint."""
        run = self._run
        if not run.world.is_chief:
            return
        run.inputs.folder.check_owned()
        info = {
            **run.progress().as_info(),
            "steps_per_epoch": run.steps.per_epoch,
            "images": run.inputs.images,
            "class_names": run.inputs.class_names,
            "category_ids": run.inputs.category_ids,
            "config": run.config.to_dict(),
            "versions": versions(),
        }
        self._checkpoints.begin(run.detector, run.optimizer, info)


def checkpoint_due(steps, train):
    """Whether there is to be a checkpoint of the present step of `steps`, a Steps; `train`: config.train."""
    every, most = train.checkpoint_every_steps, train.max_evaluations
    return (steps.at_share(most) if most else steps.at_epoch_end) or (every > 0 and steps.step % every == 0)


def _share_statistics(detector, world):
    """Gives all ranks the mean of the statistics of live batch norms, which each rank computed from its own images."""
    if world.size == 1:
        return
    live = [
        variable
        for layer in detector.submodules
        if getattr(layer, "norm", None) == norms.LIVE
        for variable in (layer.mean, layer.variance)
    ]
    for variable, mean in zip(live, world.average([v.read_value() for v in live])):
        variable.assign(mean)
