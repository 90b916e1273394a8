"""Saves the step in which a run fails, before the run ends."""

import shlex
import time

import tensorflow as tf
from absl import logging

from awsdet.inference.checkpoint import name_of
from awsdet.replay.failed_step import read_report, write
from awsdet.runtime.files import ASIDE
from awsdet.training.checkpoint import state_of
from awsdet.training.run_folder import versions
from awsdet.training.snapshot import Snapshot

_BEGIN_SECONDS, _WAIT_SECONDS = 1.0, 60.0  # in which other ranks begin, and at most end, to write theirs


def save_failed_step(run, text: str) -> str:
    """Saves the step in which a Run failed. Returns a line that says where it is and how it is run again.

    text: of the error that the training step raised. If the step cannot be saved, the line says why, and nothing is
    raised: nothing may hide the error itself.
    """
    try:
        path = _save(run, text)
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:300]
        return f"The step could not be saved to be run again: {reason}"
    finally:
        _wait_for_others(run)
    command = f"awsdet replay {shlex.quote(str(path))}"
    return f"The step is saved; this shows where its first number that is not finite appears: {command}"


def _save(run, text):
    report, detector, manifest = read_report(text), run.detector, run.inputs.train
    if run.world.is_chief:
        state = state_of(detector, run.optimizer)
    else:  # that of the optimizer is the same on all ranks
        state = {name_of(variable): variable for variable in detector.variables}
    known = manifest is not None and manifest.image_ids
    info = {
        "own_image_ids": [str(manifest.own_image_id(one)) if known else str(one) for one in report.image_ids],
        "processes": run.world.size,
        "learning_rate": float(run.schedule(_updates(run, report.step))),
        "class_names": list(run.inputs.class_names),
        "config": run.config.to_dict(),
        "versions": versions(),
    }
    return write(run.inputs.folder.failed, report, detector.train_function.refused, Snapshot(state), info)


def _updates(run, step):
    """The updates before a step. The optimizer's own count may or may not have the update that was left out."""
    return run.optimizer.iterations if run.elastic else tf.constant(step // run.pace.accumulate, tf.int64)


def _wait_for_others(run):
    """Waits for the ranks that are writing in the same folder: as soon as one ends, launchers end the others."""
    if run.world.size == 1:
        return
    end = time.monotonic() + _WAIT_SECONDS
    time.sleep(_BEGIN_SECONDS)
    while time.monotonic() < end and any(run.inputs.folder.failed.glob(f"{ASIDE}*")):
        time.sleep(0.2)
    if time.monotonic() >= end:
        logging.warning("rank %d ends while others still write their failed step", run.world.rank)
