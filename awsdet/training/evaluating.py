"""Evaluates a run while it trains, and decides whether it has reached its target."""

import tensorflow as tf
from absl import logging

from awsdet import evaluation
from awsdet.data.reader.builder import reader_options
from awsdet.training import board
from awsdet.training.optimizer import averaged_weights


class Evaluating(tf.keras.callbacks.Callback):
    """Evaluates every train.evaluate_every_epochs epochs and at the end of the run, and keeps the best checkpoint.

    With train.max_evaluations, only in so many of these epochs, which are evenly spread.

    All ranks call its methods. Callbacks that come after it find the COCO metrics in the logs of the epoch.

    Args:
        run: Run.
        saving: Saving.
        stop: StopTogether; if it has stopped the run, there is no time left to evaluate.
        writer: a tf.summary writer, or None.
        metrics: those of the checkpoint that the run goes on from, or None.
        evaluated: function that is called, with the metrics, after each evaluation; begins: before each.

    Attributes: metrics, those of the last evaluation, or None.
    """

    def __init__(
        self, run, saving, stop, writer=None, metrics=None, evaluated=lambda metrics: None, begins=lambda: None
    ):
        super().__init__()
        self._run, self._saving, self._stop, self._writer = run, saving, stop, writer
        self._targets = {kind: run.config.train[f"{kind}_target"] for kind in ("box_ap", "mask_ap")}
        self._targets = {kind: target for kind, target in self._targets.items() if target}
        self.metrics, self._evaluated, self._begins = metrics, evaluated, begins

    def due(self):
        """Whether there is to be an evaluation at the present step."""
        return evaluation_due(self._run.steps, self._run.config.train)

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates if it is due."""
        if not self.due() or self._stop.stopped:
            return
        self.evaluate()
        if logs is not None:
            logs.update({name: value for name, value in self.metrics.items() if isinstance(value, float)})
        if self.met_target():
            self.model.stop_training = True

    def evaluate(self):
        """Evaluates now."""
        run, folder = self._run, self._run.inputs.folder
        self._begins()
        with averaged_weights(run.optimizer, run.detector.trainable_variables):
            options = reader_options(run.config.data)
            official = run.config.train.official_metric
            place = (run.inputs.evaluation, options, run.world, folder.results)
            self.metrics = evaluation.evaluate(run.detector, *place, official)
            board.write_pictures(self._writer, run)
        self._saving.wait()
        if run.world.is_chief:
            self._record()
        self._evaluated(self.metrics)

    def _record(self):
        run, folder = self._run, self._run.inputs.folder
        folder.checkpoints.record_metrics(self._saving.path, self.metrics)
        if run.config.train.keep_best:
            folder.checkpoints.choose_best()
        record = {"step": run.steps.step, "epoch": run.steps.epoch, "seconds": run.timer.seconds(), **self.metrics}
        folder.log(record)
        if self._writer is not None:
            board.write_evaluation(self._writer, record)
        logging.info("evaluation at step %d: %s", run.steps.step, self.summary())

    def met_target(self):
        """Whether there is a target, and the last evaluation reached it."""
        if not self._targets or self.metrics is None:
            return False
        # A resumed run may have been evaluated on records without masks; its metrics then lack mask AP.
        return all(self.metrics.get(kind, -1.0) >= target for kind, target in self._targets.items())

    def summary(self):
        """The last evaluation in a few words."""
        if self.metrics is None:
            return "it was not evaluated"
        kinds = [kind for kind in ("box", "mask") if f"{kind}_ap" in self.metrics]
        return ", ".join(f"{kind} AP {self.metrics[f'{kind}_ap']:.4f}" for kind in kinds)


def evaluation_due(steps, train):
    """Whether there is to be an evaluation at the present step of `steps`, a Steps; `train`: config.train."""
    every = train.evaluate_every_epochs
    if not every or not steps.at_epoch_end:
        return False
    if train.max_evaluations and not steps.at_share(train.max_evaluations):
        return False
    return steps.step == steps.total or (steps.step > 0 and steps.epoch % every == 0)
