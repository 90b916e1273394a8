"""Evaluates a run while it trains, and decides whether it has reached its target."""

import tensorflow as tf
from absl import logging

from awsdet import evaluation
from awsdet.data.reader.builder import reader_options
from awsdet.evaluation.score_files import Evaluated
from awsdet.training import board, checkpoint
from awsdet.training.optimizer import averaged_weights
from awsdet.training.outstanding import Outstanding


class Evaluating(tf.keras.callbacks.Callback):
    """Evaluates every train.evaluate_every_epochs epochs and at the end of the run, and keeps the best checkpoint.

    With train.max_evaluations, only in so many of these epochs, which are evenly spread. All ranks call its methods.

    From train.score_aside_from images on, training goes on once they have been detected in, and another process scores.
    `collect` takes its result, at the same step on all ranks. All that follows from the result is as if it had been
    there at once: it belongs to the evaluated checkpoint, and if that meets the target, the steps since are undone.

    Args:
        run: Run.
        saving: Saving.
        stop: StopTogether; if it has stopped the run, there is no time left to evaluate.
        writer: a tf.summary writer, or None.
        metrics: those of the checkpoint that the run goes on from, or None.
        evaluated: function that is called after each evaluation, with the metrics, where they belong (Evaluated), and
            whether training went on meanwhile. begins: function that is called before each, with the last of these.
        waits: whether to wait for each score, since callbacks that come later want it in the logs of the epoch.

    Attributes:
        metrics: those of the last evaluation, or None.
        undone_to: the step that the run was taken back to, since its score met the target; or None.
    """

    def __init__(
        self,
        run,
        saving,
        stop,
        writer=None,
        metrics=None,
        evaluated=lambda metrics, where, aside: None,
        begins=lambda aside: None,
        waits=False,
    ):
        super().__init__()
        self._run, self._saving, self._stop, self._writer, self._waits = run, saving, stop, writer, waits
        self._targets = {kind: run.config.train[f"{kind}_target"] for kind in ("box_ap", "mask_ap")}
        self._targets = {kind: target for kind, target in self._targets.items() if target}
        self.metrics, self._evaluated, self._begins = metrics, evaluated, begins
        self._outstanding, self.undone_to = Outstanding(run), None

    def due(self):
        """Whether there is to be an evaluation at the present step."""
        return evaluation_due(self._run.steps, self._run.config.train)

    def on_epoch_end(self, epoch, logs=None):
        """Evaluates if it is due."""
        if not self.due() or self._stop.stopped:
            return
        self.evaluate()
        if logs is not None and self.outstanding is None:
            logs.update({name: value for name, value in self.metrics.items() if isinstance(value, float)})

    @property
    def outstanding(self):
        """Where the evaluation belongs whose score is not there yet (Evaluated); None if there is none."""
        return self._outstanding.evaluated

    def arrived(self):
        """Whether the outstanding score is there, for `collect`. Only the chief knows; it may call this alone."""
        return self._outstanding.arrived()

    def close(self):
        """Ends the process that scores, if there is one. One rank may call it alone."""
        self._outstanding.close()

    def resume(self):
        """Evaluates if the run that goes on from here was killed before it did, or takes up an outstanding score."""
        self._outstanding.resume()
        detected = self.outstanding is not None and self.outstanding.step == self._run.steps.step
        if self.due() and self.metrics is None and not detected:
            self._saving.save()  # does nothing if there is a checkpoint of this step
            self.evaluate()

    def evaluate(self):
        """Evaluates now, unless the outstanding score, for which it waits, meets the target."""
        self.collect()
        if self.met_target():
            return
        run = self._run
        aside = not self._waits and scored_aside(run.steps, run.config.train, run.inputs.evaluation.num_images)
        where = Evaluated(run.steps.step, run.steps.epoch)
        self._begins(aside)
        official = run.config.train.official_metric
        read = (run.inputs.evaluation, reader_options(run.config.data))
        with averaged_weights(run.optimizer, run.detector.trainable_variables):
            if aside:
                detections = evaluation.detect(run.detector, *read, run.world)
            else:
                metrics = evaluation.evaluate(run.detector, *read, run.world, run.inputs.folder.results, official)
            board.write_pictures(self._writer, where.step, run.detector, *read, run.config.train.pictures)
        self._saving.wait()
        if aside:
            if self._outstanding.begin(detections, where):
                return
            given = (run.inputs.evaluation, run.world, run.inputs.folder.results, official)
            metrics = evaluation.score_on_chief(detections, *given)
        self._take(metrics, where, aside)

    def collect(self, seconds=None):
        """Takes the outstanding score if there is one: waits for it, but not longer than so many seconds."""
        where = self.outstanding
        metrics = None if where is None else self._outstanding.result(seconds)
        if metrics is None:
            return
        self._take(metrics, where, aside=True)
        if self.met_target():
            self._undo_since(where)
        self._outstanding.taken()

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

    def _take(self, metrics, where, aside):
        self.metrics = metrics
        if self._run.world.is_chief:
            self._record(where)
        self._evaluated(metrics, where, aside)
        if self.met_target():
            self._run.detector.stop_training = True

    def _record(self, where):
        run, folder = self._run, self._run.inputs.folder
        folder.checkpoints.record_metrics(folder.checkpoints.path_of(where.step), self.metrics)
        if run.config.train.keep_best:
            folder.checkpoints.choose_best()
        record = {"step": where.step, "epoch": where.epoch, "seconds": run.timer.seconds(), **self.metrics}
        folder.log(record)
        if self._writer is not None:
            board.write_evaluation(self._writer, record)
        logging.info("evaluation at step %d: %s", where.step, self.summary())

    def _undo_since(self, where):
        """Makes the run what it was at a step whose score has met the target."""
        run, folder, done = self._run, self._run.inputs.folder, self._run.steps.step
        if where.step == done:
            return
        self._saving.rewind(where.step)
        if run.world.is_chief:
            checkpoint.restore(folder.checkpoints.path_of(where.step), run.detector, run.optimizer, not run.elastic)
            folder.rewind(where.step)
            logging.info(
                "the target was met at step %d; what followed is undone: %d step(s)", where.step, done - where.step
            )
        self.undone_to = where.step


def evaluation_due(steps, train):
    """Whether there is to be an evaluation at the present step of `steps`, a Steps; `train`: config.train."""
    every = train.evaluate_every_epochs
    if not every or not steps.at_epoch_end:
        return False
    if train.max_evaluations and not steps.at_share(train.max_evaluations):
        return False
    return steps.step == steps.total or (steps.step > 0 and steps.epoch % every == 0)


def scored_aside(steps, train, images):
    """Whether training goes on while an evaluation of so many images, at the present step, is scored. At the end of
    the run nothing would go on."""
    return steps.step < steps.total and 0 < train.score_aside_from <= images
