"""A training run from its settings to its last picture."""

import sys
import time
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from awsdet import evaluation
from awsdet.data.reader.builder import reader_options
from awsdet.data.reader.pipeline import train_dataset
from awsdet.models import builder
from awsdet.runtime.progress import clock
from awsdet.runtime.together import together
from awsdet.train import checkpoint, optimizer, schedule
from awsdet.train.callbacks import Bar, Checkpointing, Evaluation, Log, Steps, write_scalars
from awsdet.train.failure import explain
from awsdet.train.inputs import prepare
from awsdet.train.run_folder import versions
from awsdet.train.settings import progress_facts
from awsdet.train.stop import StopFlag, StopTogether
from awsdet.train.transfer import take_weights


class Outcome(NamedTuple):
    """How a run ended."""

    exit_code: int  # 0 done, or stopped by SIGTERM; 1 failed or short of its target
    metrics: dict | None  # of the last evaluation


def train(config, output_dir, world, resume=False):
    """Runs a training job; every rank calls it.

    Args:
        config: ConfigDict.
        output_dir: the run's folder; rank 0 writes it.
        world: World.
        resume: go on from the newest checkpoint in the folder.

    Returns:
        Outcome, the same on all ranks.

    Raises UserError, on all ranks, where the user has to mend something.
    """
    begin = time.monotonic()
    inputs = together(world, lambda: prepare(config, output_dir, resume, world.size, world.is_chief))
    tf.keras.utils.set_random_seed(config.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    run = together(world, lambda: _Run(config, inputs, world, begin))
    with StopFlag() as flag:
        try:
            return run.execute(flag)
        except tf.errors.OpError as error:
            explain(error, config, world)
            return Outcome(1, None)
        finally:
            run.checkpoints.settle()


class _Run:
    """The parts of one run, put together."""

    def __init__(self, config, inputs, world, begin):
        self.config, self.inputs, self.world = config, inputs, world
        self.checkpoints = inputs.folder.checkpoints
        self.images_per_step = config.data.batch_size * world.size
        self.detector = builder.build(config, inputs.train.class_names)
        self.start_info = checkpoint.read_info(inputs.start) if inputs.start else None
        if config.train.init_from and self.start_info is None and world.is_chief:
            take_weights(self.detector, config.train.init_from)
        self.metrics = self.writer = self.saved = None
        self.begin, self.seconds_before = begin, 0.0

    def execute(self, flag):
        """Trains to the end, the target or SIGTERM. `flag`: StopFlag. Returns Outcome."""
        self._start()
        settings = self.config.train
        stop = StopTogether(self.steps, self.world, lambda: flag.is_set() or self.checkpoints.failed)
        evaluate = Evaluation(self.steps, settings.evaluate_every_epochs, self.evaluate, stop)
        if not self._was_evaluated(evaluate):
            checkpointing = Checkpointing(self.steps, settings.checkpoint_every_steps, self.save)
            self._fit([*self._loggers(), checkpointing, evaluate, stop])
        return self._finish(stop)

    # -------------------------------------------------------------------------------------------------------- the start

    def _start(self):
        """Makes optimizer and counters and gives all ranks the same state: new, or that of the checkpoint."""
        info = self.start_info = self.world.broadcast_object(self.start_info)
        step = info["step"] if info else 0
        self.data = self._data(step, info["steps_per_epoch"] if info else 1)
        settings = self.config.train
        total = settings.epochs * self.data.steps_per_epoch
        self.steps = Steps(step, self.data.steps_per_epoch, min(total, settings.max_steps or total))
        self._compile()
        if info:
            self.metrics, self.seconds_before = info["metrics"], info["seconds"]
            self.saved = (step, self.inputs.start)
            if self.world.is_chief:
                checkpoint.restore(self.inputs.start, self.detector, self.optimizer)
                logging.info("resumed from %s at step %d", self.inputs.start, step)
        self.world.broadcast_variables([*self.detector.variables, *optimizer.state_variables(self.optimizer)])
        if self.world.is_chief:
            self.inputs.folder.open(self.config, step)
            if settings.tensorboard:
                self.writer = tf.summary.create_file_writer(str(self.inputs.folder.tensorboard))

    def _data(self, step, steps_per_epoch):
        """The batches from `step` on: the rest of an epoch that has begun, or all epochs that are left."""
        epochs = self.config.train.epochs
        return train_dataset(
            self.inputs.train,
            reader_options(self.config.data),
            seed=self.config.seed,
            rank=self.world.rank,
            world_size=self.world.size,
            epochs=min(epochs, step // steps_per_epoch + 1) if step % steps_per_epoch else epochs,
            start_step=step,
        )

    def _compile(self):
        """Makes the optimizer and all its variables."""
        settings, accumulate = self.config.optimizer, self.config.train.accumulate_steps
        rate = optimizer.scaled_learning_rate(settings, self.config.data.batch_size, self.world.size, accumulate)
        steps = self.steps
        self.schedule = schedule.build_schedule(self.config.schedule, rate, steps.per_epoch, steps.total, accumulate)
        self.optimizer = optimizer.build_optimizer(settings, self.schedule, self.config.model.precision)
        self.detector.compile(
            self.optimizer,
            world=self.world,
            clip_norm=settings.clip_norm,
            accumulate_steps=accumulate,
            loss_normalizer=self.config.train.loss_normalizer,
        )
        optimizer.create_slots(self.optimizer, self.detector.trainable_variables)

    def _was_evaluated(self, evaluate):
        """Evaluates what a killed run left unevaluated. Returns whether a resumed run has met its target already."""
        if not self.start_info or not evaluate.due():
            return False
        return self.evaluate() if self.metrics is None else self._met_target()

    # ------------------------------------------------------------------------------------------------------ on the way

    def _loggers(self):
        if not self.world.is_chief:
            return []
        log = Log(
            self.steps,
            self.config.train.log_every_steps,
            self.images_per_step,
            lambda: float(self.schedule(self.optimizer.iterations)),
            self.inputs.folder.log,
            self.writer,
            show=not self._has_bar(),
        )
        return [log, Bar()] if self._has_bar() else [log]

    def _has_bar(self):
        return self.world.is_chief and sys.stdout.isatty()

    def _fit(self, callbacks):
        """Keras' fit; twice where the run goes on in the middle of an epoch, since Keras knows whole ones only."""
        steps, data = self.steps, self.data
        logging.info("training to step %d; the first step builds the graph, which takes a while", steps.total)
        steps.count_in(self.detector, data.dataset.element_spec)
        while steps.step < steps.total:
            rest = steps.per_epoch - steps.step % steps.per_epoch
            last = -(-steps.total // steps.per_epoch)
            self.detector.fit(
                data.dataset,
                initial_epoch=steps.epoch,
                epochs=last if rest == steps.per_epoch else steps.epoch + 1,
                steps_per_epoch=rest,
                callbacks=callbacks,
                verbose=1 if self._has_bar() else 0,
            )
            if self.detector.stop_training:
                break
            data = self._data(steps.step, steps.per_epoch)

    def save(self):
        """Begins to write a checkpoint, unless there is one of this step. Every rank calls it. Raises UserError, on all
        ranks, where the one before could not be written."""
        if self.saved and self.saved[0] == self.steps.step:
            return
        self._share_statistics()
        self.saved = (self.steps.step, together(self.world, self._begin_checkpoint))

    def _begin_checkpoint(self):
        """On the chief; returns the checkpoint's path, and None on the others."""
        if not self.world.is_chief:
            return None
        info = {
            "step": self.steps.step,
            "epoch": self.steps.epoch,
            "steps_per_epoch": self.steps.per_epoch,
            **progress_facts(self.config, self.inputs.train, self.images_per_step),
            "seconds": self._seconds(),
            "metrics": None,
            "class_names": self.inputs.train.class_names,
            "category_ids": self.inputs.train.category_ids,
            "config": self.config.to_dict(),
            "versions": versions(),
        }
        return self.checkpoints.begin(self.detector, self.optimizer, info)

    def _share_statistics(self):
        """Live BatchNorm has statistics of each rank's own images; all ranks take their mean."""
        model = self.config.model
        if self.world.size == 1 or "batch_norm" not in (model.backbone.norm, model.fpn.norm):
            return
        live = [
            v for v in self.detector.non_trainable_variables if v.name.split(":")[0].endswith((".mean", ".variance"))
        ]
        for variable, mean in zip(live, self.world.average([v.read_value() for v in live])):
            variable.assign(mean)

    def evaluate(self):
        """Evaluates and keeps the best checkpoint. Every rank calls it. Returns whether the target is met."""
        folder, config = self.inputs.folder, self.config
        with optimizer.averaged_weights(self.optimizer, self.detector.trainable_variables):
            self.metrics = evaluation.evaluate(
                self.detector, self.inputs.evaluation, config.data, self.world, folder.results
            )
        together(self.world, self.checkpoints.wait)
        if self.world.is_chief:
            self.checkpoints.record_metrics(self.saved[1], self.metrics)
            if config.train.keep_best:
                self.checkpoints.choose_best()
            record = {"step": self.steps.step, "epoch": self.steps.epoch, "seconds": self._seconds(), **self.metrics}
            folder.log(record)
            if self.writer is not None:
                write_scalars(self.writer, "evaluation/", record)
            logging.info("evaluation at step %d: %s", self.steps.step, _describe(self.metrics))
        return self._met_target()

    def _met_target(self):
        targets = {"box_ap": self.config.train.box_ap_target, "mask_ap": self.config.train.mask_ap_target}
        targets = {name: target for name, target in targets.items() if target}
        # What a resumed run was evaluated on may have had no masks: then it says nothing of them.
        return bool(targets) and all(self.metrics.get(name, -1.0) >= target for name, target in targets.items())

    def _seconds(self):
        return self.seconds_before + time.monotonic() - self.begin

    # ---------------------------------------------------------------------------------------------------------- the end

    def _finish(self, stop):
        if stop.stopped:
            self.save()
        together(self.world, self.checkpoints.wait)
        if stop.stopped:
            logging.info("stopped by SIGTERM and saved at step %d; go on with --resume", self.steps.step)
            self.world.barrier()
            return Outcome(0, self.metrics)
        self._draw()
        self.world.barrier()  # a rank that leaves early would break off what the others still exchange
        train = self.config.train
        logging.info("done: step %d after %s", self.steps.step, clock(self._seconds()))
        if not (train.box_ap_target or train.mask_ap_target):
            return Outcome(0, self.metrics)
        target = f"box AP {train.box_ap_target}, mask AP {train.mask_ap_target}"
        if self._met_target():
            logging.info("target met (%s): time to train %s (%.0f s)", target, clock(self._seconds()), self._seconds())
            return Outcome(0, self.metrics)
        logging.error("the schedule ended short of the target (%s): %s", target, _describe(self.metrics))
        return Outcome(1, self.metrics)

    def _draw(self):
        count = self.config.train.pictures
        if not self.world.is_chief or self.inputs.evaluation is None or not count:
            return
        with optimizer.averaged_weights(self.optimizer, self.detector.trainable_variables):
            evaluation.draw_examples(
                self.detector, self.inputs.evaluation, self.config.data, self.inputs.folder.examples, count
            )


def _describe(metrics):
    return ", ".join(f"{kind} AP {metrics[f'{kind}_ap']:.4f}" for kind in ("box", "mask") if f"{kind}_ap" in metrics)
