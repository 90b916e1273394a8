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
    report, detector, refused = read_report(text), run.detector, run.detector.train_function.refused
    if run.world.is_chief:
        state = state_of(detector, run.optimizer)
    else:  # that of the optimizer is the same on all ranks
        state = {name_of(variable): variable for variable in detector.variables}
    info = {
        "image_ids": _image_ids(refused.batch, run.inputs.train),
        "processes": run.world.size,
        "learning_rate": float(run.schedule(_updates(run, report.step))),
        "class_names": list(run.inputs.class_names),
        "config": run.config.to_dict(),
        "versions": versions(),
    }
    return write(run.inputs.folder.failed, report, refused, Snapshot(state), info)


def _image_ids(batch, manifest):
    """How the user calls the images of a batch: a list of strings."""
    if "image_id" not in batch:
        return [f"{place} of the batch" for place in range(int(batch["image"].shape[0]))]
    ids = batch["image_id"].numpy().tolist()
    return [str(manifest.own_image_id(one)) if manifest is not None and manifest.image_ids else str(one) for one in ids]


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
