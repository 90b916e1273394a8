"""`awsdet evaluate --watch`: evaluates the checkpoints of a run beside its training, and prints their tables."""

import contextlib
import functools
import pathlib
import signal

from absl import logging

from awsdet.cli.ranks import run_on_all
from awsdet.runtime.errors import UserError


class _Stopped(BaseException):
    """SIGTERM has come. No Exception, so that nothing on the way takes it for a failure of its own."""


def run(flag_values):
    """Evaluates until the run is complete. Returns the exit code: 1 if nothing more came before that."""
    _check_run(flag_values)
    with _stopped_by_sigterm():
        try:
            return run_on_all(functools.partial(_watch, flag_values))
        except _Stopped:
            logging.info("stopped by SIGTERM; the same command goes on after what was evaluated")
            return 0


def check(flag_values):
    """Raises UserError for what would go wrong, as far as it can be seen before the run has a checkpoint."""
    from awsdet.inference.checkpoint import newest
    from awsdet.runtime.files import check_folder
    from awsdet.training.evaluations_folder import EvaluationsFolder

    run = _check_run(flag_values)
    check_folder(_output(flag_values), "output")
    _check_records(flag_values)
    folder = EvaluationsFolder(_output(flag_values))
    folder.read()
    _check_evaluated(flag_values, folder)
    found = newest(run / "checkpoints")
    if found is not None:
        _prepare(flag_values, found)


def _watch(flag_values, world):
    from awsdet.evaluation import format_steps, format_table
    from awsdet.runtime.together import together
    from awsdet.training.evaluations_folder import EvaluationsFolder
    from awsdet.training.following import Following
    from awsdet.training.lookout import Lookout

    together(world, lambda: _check_records(flag_values))
    folder = EvaluationsFolder(_output(flag_values)) if world.is_chief else None
    lookout = folder and Lookout(pathlib.Path(flag_values.checkpoint), folder.marks, flag_values.wait_seconds)
    try:
        together(world, lambda: folder and folder.open())
        together(world, lambda: folder and _check_evaluated(flag_values, folder))
        for record in Following(lookout, folder, functools.partial(_prepare, flag_values), world).records():
            if world.is_chief:
                print(f"step {record['step']:,}, epoch {record['epoch']}")
                print(f"{format_table(record, per_class=False)}\n", flush=True)
    finally:
        if folder is not None:
            folder.close()
    problem = world.broadcast_object(lookout and lookout.problem)
    if world.is_chief:
        if folder.records:
            print(f"{format_steps(folder.records)}\n\nEvaluations, and the best checkpoint: {folder.path}", flush=True)
        if problem:
            logging.error("%s", problem)
        else:
            logging.info("the run is complete, and so are its evaluations")
    return 1 if problem else 0


def _prepare(flag_values, path):
    from awsdet.cli.evaluated import prepare

    return prepare(path, flag_values.records, flag_values.split, flag_values.batch_size)


def _output(flag_values):
    return flag_values.output or pathlib.Path(flag_values.checkpoint) / "evaluations"


def _check_run(flag_values):
    """The folder of the run, which need not exist yet. Raises UserError if it cannot be one."""
    path = pathlib.Path(flag_values.checkpoint)
    if (path / "checkpoint.json").exists() or path.name == "checkpoints":
        raise UserError(f"--watch follows a whole run; give its folder, not {path}")
    if path.exists() and not path.is_dir():
        raise UserError(f"--checkpoint={path} is a file; with --watch give the folder of a run")
    return path


def _check_records(flag_values):
    """Raises UserError if there are no records, or not the split that was asked for."""
    from awsdet.cli.evaluated import read_split
    from awsdet.data.records.read import NoSuchSplit, read_manifest

    if flag_values.split:
        read_split(flag_values.records, flag_values.split)
        return
    with contextlib.suppress(NoSuchSplit):  # the split's name is known with the first checkpoint
        read_manifest(flag_values.records, "val")


def _check_evaluated(flag_values, folder):
    """Raises UserError if what was evaluated before is of other records or another split than is asked for now."""
    from awsdet.cli.evaluated import split_for
    from awsdet.training.fingerprint import records_digest

    last = folder.newest()
    if folder.records and last is not None:
        folder.check_records(records_digest(split_for(last, flag_values.records, flag_values.split)))


@contextlib.contextmanager
def _stopped_by_sigterm():
    def stop(*_):
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
