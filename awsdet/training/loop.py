"""A training run from its settings to its last picture."""

import sys
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from awsdet import evaluation
from awsdet.data.reader.builder import reader_options
from awsdet.inference.checkpoint import read_info
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.models import builder
from awsdet.runtime.progress import clock
from awsdet.runtime.together import together
from awsdet.runtime.world import World
from awsdet.training import checkpoint, optimizer
from awsdet.training.batches import DatasetBatches, RecordBatches
from awsdet.training.evaluating import Evaluating
from awsdet.training.failure import explain
from awsdet.training.inputs import prepare
from awsdet.training.logs import Bar, Log
from awsdet.training.run import Run, Timer
from awsdet.training.saving import Saving
from awsdet.training.schedule import build_schedule
from awsdet.training.steps import Steps
from awsdet.training.stop import StopFlag, StopTogether
from awsdet.training.transfer import take_weights


class Outcome(NamedTuple):
    """How a run ended."""

    exit_code: int  # 0: done, or stopped by SIGTERM; 1: failed, or target missed
    metrics: dict | None  # of the last evaluation


def train(config, output, world=None, resume=False, callbacks=(), dataset=None, class_names=None):
    """Trains a detector, evaluates it and keeps its checkpoints. Every rank calls this.

    Args:
        config: ConfigDict.
        output: the run's folder; rank 0 writes it.
        world: World; None for one process.
        resume: go on from the newest checkpoint in the folder.
        callbacks: Keras callbacks, called after our own. The logs of each evaluated epoch contain the COCO metrics
            (box_ap, mask_ap, …).
        dataset: a `tf.data.Dataset` of batches for this rank (see docs/data.md), to train on instead of
            config.data.train_records. It is one epoch, so its length must be known.
        class_names: of `dataset`; None: the class names of the evaluation records.

    Returns:
        Outcome, the same on all ranks.

    Raises UserError, on all ranks, for a mistake that the user can correct.
    """
    world, timer = world or World(), Timer()
    own_data = (dataset, class_names)
    inputs = together(world, lambda: prepare(config, output, resume, world.size, world.is_chief, *own_data))
    tf.keras.utils.set_random_seed(config.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    detector = together(world, lambda: _new_detector(config, inputs, world))
    batches = together(world, lambda: _batches(config, inputs, world, dataset))
    start = world.broadcast_object(read_info(inputs.start) if inputs.start else None)
    total = config.train.epochs * batches.per_epoch
    steps = Steps(start["step"] if start else 0, batches.per_epoch, min(total, config.train.max_steps or total))
    schedule = _schedule(config, world, steps)
    run = Run(config, inputs, world, detector, _compile(config, world, detector, schedule), steps, timer)
    _set_state(run, start)
    writer = _open_folder(run)
    saving = Saving(run, (steps.step, inputs.start) if start else None)
    with StopFlag() as flag:
        stop = StopTogether(steps, world, lambda: flag.is_set() or saving.failed)
        evaluating = Evaluating(run, saving, stop, writer, start and start["metrics"])
        try:
            if not (start and _evaluated_to_target(evaluating)):
                own = [steps, *_loggers(run, schedule, writer), saving, evaluating]
                _fit(run, batches, [*own, *callbacks, stop])
            return _finish(run, saving, evaluating, stop)
        except tf.errors.OpError as error:
            explain(error, config, world)
            return Outcome(1, None)
        finally:
            saving.settle()


# ------------------------------------------------------------------------------------------------------------ the start


def _new_detector(config, inputs, world):
    detector = builder.build(config, inputs.class_names)
    if config.train.init_from and inputs.start is None and world.is_chief:
        take_weights(detector, config.train.init_from)
    use_fast_convolutions(detector)  # for its evaluations; the training step is as it was
    return detector


def _batches(config, inputs, world, dataset):
    return RecordBatches(config, inputs.train, world) if dataset is None else DatasetBatches(config, dataset)


def _schedule(config, world, steps):
    accumulate = config.train.accumulate_steps
    rate = optimizer.scaled_learning_rate(config.optimizer, config.data.batch_size, world.size, accumulate)
    return build_schedule(config.schedule, rate, steps.per_epoch, steps.total, accumulate)


def _compile(config, world, detector, schedule):
    """Makes the detector ready for `fit`. Returns the optimizer, with all its variables."""
    made = optimizer.build_optimizer(config.optimizer, schedule, config.model.precision)
    detector.compile(
        made,
        world=world,
        clip_norm=config.optimizer.clip_norm,
        accumulate_steps=config.train.accumulate_steps,
        loss_normalizer=config.train.loss_normalizer,
    )
    optimizer.create_slots(made, detector.trainable_variables)
    return made


def _set_state(run, start):
    """Gives all ranks the same state: a new one, or that of the checkpoint with the info `start`."""
    if start:
        run.timer.add(start["seconds"])
        together(run.world, lambda: _restore(run, start) if run.world.is_chief else None)
    run.world.broadcast_variables([*run.detector.variables, *optimizer.state_variables(run.optimizer)])


def _restore(run, start):
    checkpoint.restore(run.inputs.start, run.detector, run.optimizer)
    logging.info("resumed from %s at step %d", run.inputs.start, start["step"])


def _open_folder(run):
    """Prepares the folder of the run. Returns the TensorBoard writer, or None."""
    if not run.world.is_chief:
        return None
    run.inputs.folder.open(run.config, run.steps.step)
    return tf.summary.create_file_writer(str(run.inputs.folder.tensorboard)) if run.config.train.tensorboard else None


# ----------------------------------------------------------------------------------------------------------- on the way


def _evaluated_to_target(evaluating):
    """Whether a resumed run has already met its target. If it was killed before an evaluation, evaluates first."""
    if not evaluating.due():
        return False
    if evaluating.metrics is None:
        evaluating.evaluate()
    return evaluating.met_target()


def _loggers(run, schedule, writer):
    """The callbacks that report on the run; only the chief has any."""
    if not run.world.is_chief:
        return []
    log = Log(
        run.steps,
        run.config.train.log_every_steps,
        run.config.data.batch_size * run.world.size,
        lambda: float(schedule(run.optimizer.iterations)),
        run.inputs.folder.log,
        writer,
        show=not _has_bar(run.world),
        show_metrics=run.config.train.log_metrics,
    )
    return [log, Bar()] if _has_bar(run.world) else [log]


def _has_bar(world):
    return world.is_chief and sys.stdout.isatty()


def _fit(run, batches, callbacks):
    """Calls Keras' fit; twice if the run goes on in the middle of an epoch, since Keras knows only whole epochs."""
    steps = run.steps
    logging.info("training to step %d; the first step builds the graph, which takes a while", steps.total)
    last = -(-steps.total // steps.per_epoch)
    while steps.step < steps.total:
        rest = steps.per_epoch - steps.step % steps.per_epoch
        run.detector.fit(
            batches.from_step(steps.step),
            initial_epoch=steps.epoch,
            epochs=last if rest == steps.per_epoch else steps.epoch + 1,
            steps_per_epoch=rest,
            callbacks=callbacks,
            verbose=1 if _has_bar(run.world) else 0,
        )
        if run.detector.stop_training:
            break


# -------------------------------------------------------------------------------------------------------------- the end


def _finish(run, saving, evaluating, stop):
    saving.save()  # does nothing if the last step was saved
    saving.wait()
    metrics = evaluating.metrics
    if stop.stopped:
        logging.info("stopped by SIGTERM and saved at step %d; go on with --resume", run.steps.step)
        run.world.barrier()
        return Outcome(0, metrics)
    _draw(run)
    run.world.barrier()  # a rank that ended early would disturb exchanges between the others
    train, seconds = run.config.train, run.timer.seconds()
    logging.info("done: step %d after %s", run.steps.step, clock(seconds))
    if not (train.box_ap_target or train.mask_ap_target):
        return Outcome(0, metrics)
    target = f"box AP {train.box_ap_target}, mask AP {train.mask_ap_target}"
    if evaluating.met_target():
        logging.info("target met (%s): time to train %s (%.0f s)", target, clock(seconds), seconds)
        return Outcome(0, metrics)
    logging.error("the run ended without meeting the target (%s): %s", target, evaluating.summary())
    return Outcome(1, metrics)


def _draw(run):
    count = run.config.train.pictures
    if not run.world.is_chief or run.inputs.evaluation is None or not count:
        return
    options, folder = reader_options(run.config.data), run.inputs.folder
    with optimizer.averaged_weights(run.optimizer, run.detector.trainable_variables):
        evaluation.draw_examples(run.detector, run.inputs.evaluation, options, folder.examples, count)
