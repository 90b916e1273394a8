"""A training run from its settings to its last picture."""

import functools
import json
import os
import sys
import time
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from awsdet import config as config_module
from awsdet import evaluation
from awsdet.data.reader.broken import FAILURES
from awsdet.data.reader.builder import reader_options
from awsdet.inference.checkpoint import read_info
from awsdet.inference.fast_convolutions import use_fast_convolutions
from awsdet.models import builder
from awsdet.replay.saving import save_failed_step
from awsdet.runtime.errors import UserError
from awsdet.runtime.progress import clock
from awsdet.runtime.together import together
from awsdet.runtime.world import HostsChanged, LeftOut, RunFailed, World
from awsdet.training import forecast, optimizer, settings, summary, tracking
from awsdet.training.cautions import cautions, short_run
from awsdet.training.committing import Committing
from awsdet.training.evaluating import Evaluating
from awsdet.training.failure import explain
from awsdet.training.gpu_start import check_gpu
from awsdet.training.inputs import prepare, with_start
from awsdet.training.logs import Bar, Log
from awsdet.training.mlperf_log import MlperfLog
from awsdet.training.pretrained import Stopped
from awsdet.training.profile import Profiling
from awsdet.training.room import check_room
from awsdet.training.run_folder import End
from awsdet.training.saving import Saving
from awsdet.training.settings import with_batch_size
from awsdet.training.starting import Parts, begin, find_origin, own_folder, start_from_weights
from awsdet.training.stop import StopFlag, StopTogether
from awsdet.training.watch import Watch, expected_of

_STOP_SECONDS = 10.0  # for an outstanding score after SIGTERM, which leaves little time; the run that goes on has more


class Outcome(NamedTuple):
    """How a run ended."""

    exit_code: int  # 0: done, or stopped by SIGTERM; 1: failed, or target missed
    metrics: dict | None  # of the last evaluation


def train(config, output, world=None, resume=False, callbacks=(), dataset=None, class_names=None, begun=None):
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
        begun: when the process began, in seconds since 1970, for train.mlperf_log; None: now.

    Returns:
        Outcome, the same on all ranks.

    Raises UserError, on all ranks, for a mistake that the user can correct.
    """
    world = world or World()
    config = with_batch_size(config, world.size, world.elastic)
    parts = Parts(config, world, resume, dataset, begun or time.time())
    with StopFlag() as flag:
        parts.told = flag.is_set
        try:
            _prepare(parts, output, class_names)
            return parts.world.run(lambda: _in_world(parts, tuple(callbacks), flag))
        except Stopped:
            logging.info("stopped by SIGTERM before training began; the same command starts it")
            return Outcome(0, None)
        except LeftOut as left:
            logging.warning("%s; the others go on", left)
            return Outcome(0, None)
        except RunFailed as failed:
            logging.error("%s; so the run ends here too", failed)
            return Outcome(1, None)
        finally:
            if parts.inputs is not None:
                parts.inputs.folder.release()


def _in_world(parts, callbacks, flag):
    """Trains until the run ends or, in an elastic world, the processes change."""
    world = parts.world
    if world.elastic:
        own_folder(parts)
    origin = find_origin(parts)
    run, batches = begin(parts, origin)
    writer = _open_folder(run)
    saved, metrics = _saved(run, origin)
    saving = Saving(run, saved)
    committing = Committing(run, saving, parts.keep)
    stop = StopTogether(
        run.steps,
        world,
        told=lambda: flag.is_set() or saving.failed,
        arrived=lambda: evaluating.arrived(),
        collect=lambda: evaluating.collect(),
    )
    if parts.watch is None:
        parts.watch = _announce(parts, run, begins=origin.progress is None)
    watch = parts.watch if world.is_chief else None
    mlperf = MlperfLog(run, parts.begun) if world.is_chief and run.config.train.mlperf_log else None

    def evaluated(metrics, where, aside):
        if mlperf is not None:
            mlperf.evaluated(metrics, evaluating.met_target(), aside)
        if watch is not None:
            watch.evaluated(where.step, metrics)
        if world.elastic and not aside:
            committing.commit(metrics)

    begins = mlperf.evaluation_begins if mlperf else lambda aside: None
    waits = any(world.gather_objects(bool(callbacks)))
    evaluating = Evaluating(run, saving, stop, writer, metrics, evaluated, begins, waits)
    status, how = "FAILED", "failed"  # what MLflow is told, and those who follow the run
    own = [run.steps, *_loggers(run, writer, watch), *([committing] if world.elastic else []), saving]
    own += [*([mlperf] if mlperf else []), evaluating]
    try:
        if world.elastic:
            committing.commit(metrics)
        if origin.progress:
            evaluating.resume()
        if not evaluating.met_target():
            if mlperf is not None:
                mlperf.start()
            if run.config.train.mlperf_log:
                world.barrier()  # no rank reads an image before the log says so
            _fit(run, batches, [*own, *callbacks, stop])
        outcome = _finish(run, saving, evaluating, stop)
        status = "KILLED" if stop.stopped else "FAILED" if outcome.exit_code else "FINISHED"
        how = "stopped" if stop.stopped else "complete"
        return outcome
    except HostsChanged:
        committing.commit()  # nothing is lost
        status = how = ""  # the run goes on
        raise
    except FAILURES as error:
        if world.lost(error):
            raise
        try:
            broken = functools.partial(batches.broken, run.steps.mark.position)
            save = functools.partial(save_failed_step, run)
            explain(error, run.config, world, run.pace.images_per_update, broken, run.inputs.train, save)
        except UserError as unreadable:
            if not world.is_chief:  # it says nothing else
                logging.error("rank %d: %s", world.rank, unreadable)
            world.failed(str(unreadable))
            raise
        world.failed("see its messages")
        return Outcome(1, None)
    finally:
        evaluating.close()
        if mlperf is not None and not stop.stopped:
            mlperf.stop(evaluating.met_target())
        saving.settle()
        tracker, run.inputs.folder.tracker = run.inputs.folder.tracker, None
        if tracker is not None and status:
            tracker.end(status)
        if world.is_chief and how:
            run.inputs.folder.end(End(how, evaluating.undone_to or run.steps.step))


# ------------------------------------------------------------------------------------------------------------ the start


def _prepare(parts, output, class_names):
    """Makes what does not depend on the world. All ranks raise an error if one of them does, but not in an elastic
    world: a process may join while the others train, so they learn of it later (see `find_origin`)."""
    if not parts.world.elastic:
        together(parts.world, lambda: _make(parts, output, class_names))
        if parts.config.train.init_from and parts.world.broadcast_object(parts.inputs.start is None):
            start_from_weights(parts)
        return
    try:
        _make(parts, output, class_names)
    except Exception as problem:
        parts.problem = problem


def _make(parts, output, class_names):
    config, world = parts.config, parts.world
    parts.inputs = prepare(config, output, parts.resume, world.size, False, parts.dataset, class_names)
    if world.is_chief and not world.elastic:  # in an elastic world the chief does so later
        parts.inputs.folder.take()
        parts.inputs = with_start(parts.inputs, config, parts.resume, world.size)
    if world.is_chief:
        settings.log_notes(config)
    tf.keras.utils.set_random_seed(config.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    check_gpu(config)
    parts.detector = builder.build(config, parts.inputs.class_names)
    if world.is_chief:
        check_room(parts.inputs.folder, parts.detector, config)
    use_fast_convolutions(parts.detector)  # for its evaluations; the training step is as it was


def _announce(parts, run, begins):
    """Tells the user what the run will do, and what looks unusual about it. Returns the Watch of the run."""
    expected = expected_of(run, parts.new_layers, begins)
    if run.world.is_chief:
        for label, text in summary.lines(forecast.of_run(run, expected.first)):
            logging.info("%s: %s", label, text)
        known = (run.inputs.train, run.inputs.class_names, run.pace.images_per_update)
        for line in [*short_run(expected.warm_up, run.steps.total), *cautions(run.config, *known)]:
            logging.warning("%s", line)
    return Watch(expected)


def _saved(run, origin):
    """(step of the checkpoint of the step that the run goes on from, or None; the metrics of this step, or None)."""
    if origin.progress is None:
        return None, None
    metrics, info = origin.progress.at(run.pace, run.world.size).metrics, None
    if run.world.is_chief:
        path = run.inputs.folder.checkpoints.newest() if origin.committed else run.inputs.start
        info = read_info(path) if path is not None else None
    step, scored = run.world.broadcast_object((info["step"], info["metrics"]) if info else (None, None))
    if step != run.steps.step:
        return None, metrics
    return step, metrics or scored  # a commit does not know a score that arrived after it


def _open_folder(run):
    """Prepares the folder of the run. Returns the TensorBoard writer, or None."""
    if not run.world.is_chief:
        return None
    folder, train = run.inputs.folder, run.config.train
    folder.open(run.config, run.steps.step)
    if train.mlflow:
        known = (folder.path, json.loads(config_module.to_json(run.config)))
        folder.tracker = tracking.started(*known, train.mlflow, train.mlflow_experiment, run.steps.step)
    return tf.summary.create_file_writer(os.fsencode(folder.tensorboard)) if train.tensorboard else None


# ----------------------------------------------------------------------------------------------------------- on the way


def _loggers(run, writer, watch):
    """The callbacks that report on the run; only the chief has any."""
    if not run.world.is_chief:
        return []
    log = Log(
        run.steps,
        run.config.train.log_every_steps,
        run.pace.images,
        lambda: float(run.schedule(run.optimizer.iterations)),
        run.inputs.folder.log,
        writer,
        show=not _has_bar(run.world),
        show_metrics=run.config.train.log_metrics,
        see=watch.see,
    )
    between = run.config.train.profile_steps
    profiling = [Profiling(run.steps, between, run.inputs.folder.profile)] if between[0] else []
    return [log, *profiling, Bar()] if _has_bar(run.world) else [log, *profiling]


def _has_bar(world):
    return world.is_chief and sys.stdout.isatty()


def _fit(run, batches, callbacks):
    """Calls Keras' fit; twice if the run goes on in the middle of an epoch, since Keras knows only whole epochs."""
    steps = run.steps
    logging.info("training begins; the first step builds the graph, which takes a while")
    while steps.step < steps.total:
        position = steps.mark.position
        run.detector.fit(
            batches.from_position(position, steps.last_epoch),  # planned ahead, so not of epochs beyond max_steps
            initial_epoch=position.epoch,
            epochs=position.epoch + 1 if position.segments else steps.last_epoch,
            steps_per_epoch=steps.rest,
            callbacks=callbacks,
            verbose=1 if _has_bar(run.world) else 0,
        )
        if run.detector.stop_training:
            break


# -------------------------------------------------------------------------------------------------------------- the end


def _finish(run, saving, evaluating, stop):
    if not evaluating.met_target():
        saving.save()  # does nothing if the last step was saved
    saving.wait()
    evaluating.collect(_STOP_SECONDS if stop.stopped else None)
    metrics, step = evaluating.metrics, evaluating.undone_to or run.steps.step
    if stop.stopped:
        later = evaluating.outstanding
        rest = f", which first has the evaluation at step {later.step} scored" if later else ""
        logging.info("stopped by SIGTERM and saved at step %d; go on with --resume%s", step, rest)
        run.world.barrier()
        return Outcome(0, metrics)
    _draw(run)
    run.world.barrier()  # a rank that ended early would disturb exchanges between the others
    train, seconds = run.config.train, run.timer.seconds()
    logging.info("done: step %d after %s", step, clock(seconds))
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
