"""Checkpoints: the whole state of a run, each in a folder that appears in one piece.

    <run>/checkpoints/step-00001234/
        checkpoint.json                      what it is: config, classes, step, metrics, versions, sizes of the files
        state.index, state.data-…            model, optimizer, loss scale, step counter (TensorFlow's own format)
        average.index, average.data-…        averaged weights (EMA), where the run keeps them
    <run>/checkpoints/best -> step-00001234  a link, so that it changes in one instant

A folder is written under another name, flushed to disk and renamed; a kill at any moment leaves the others whole.
Training goes on meanwhile. Nothing in a checkpoint is unpickled.
"""

import concurrent.futures
import contextlib
import json
import pathlib

import tensorflow as tf
from absl import logging

from awsdet import config as config_module
from awsdet.models import builder
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import remove_at_once, remove_leftovers, write_json, written_aside
from awsdet.train.optimizer import averages
from awsdet.train.snapshot import Snapshot

FORMAT = "awsdet checkpoint 1"
INFO = "checkpoint.json"
BEST = "best"
_PREFIX = "step-"


class Checkpoints:
    """The checkpoints of one run. Only one process may write them.

    Args:
        root: the folder `checkpoints` of a run; need not exist.
        keep_last: how many to keep, besides the best.
    """

    def __init__(self, root, keep_last=3):
        self.root, self.keep_last = pathlib.Path(root), keep_last
        self._pool = self._writing = None

    def clean(self):
        """Removes what a process that was killed had half written or half removed."""
        for folder in (self.root, *self.root.glob(f"{_PREFIX}*")):
            remove_leftovers(folder)

    def all(self):
        """Paths of the whole checkpoints, oldest first; damaged ones are named in the log and left out."""
        return [path for path in sorted(self.root.glob(f"{_PREFIX}*")) if _whole(path)]

    def newest(self):
        """Path of the newest whole checkpoint, or None."""
        found = self.all()
        return found[-1] if found else None

    def best(self):
        """Path of the best checkpoint, or None."""
        link = self.root / BEST
        return link.resolve() if _whole(link) else None

    def save(self, detector, optimizer, info):
        """Writes a checkpoint and drops the oldest. Returns its path. Arguments and errors: see `begin` and `wait`."""
        path = self.begin(detector, optimizer, info)
        self.wait()
        return path

    def begin(self, detector, optimizer, info):
        """Begins to write a checkpoint of the present state, which may change at once; `wait` tells when it is there.

        `info`: JSON-able dict; what checkpoint.json says besides `format` and `files`. Needs `step`. Returns the path.
        Where the one before is still being written, waits for it first, and raises what `wait` raises.
        """
        self.wait()
        path = self.root / f"{_PREFIX}{info['step']:08d}"
        parts = {"state": Snapshot(detector=detector, optimizer=optimizer)}
        means = averages(optimizer, detector.trainable_variables)
        if means is not None:
            parts["average"] = Snapshot(average=means)
        self._pool = self._pool or concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing = self._pool.submit(self._write, path, parts, info)
        return path

    def wait(self):
        """Waits until the checkpoint that was begun is there. Raises UserError where it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def settle(self):
        """Waits as `wait` does and raises nothing: for a run that ends with an error of its own."""
        if self._writing is not None:
            concurrent.futures.wait([self._writing])

    @property
    def failed(self):
        """Whether the checkpoint that was begun could not be written; `wait` says why."""
        return self._writing is not None and self._writing.done() and self._writing.exception() is not None

    def _write(self, path, parts, info):
        try:
            with _disk_named(path):
                self.root.mkdir(parents=True, exist_ok=True)
                # There may be one of the same step: a damaged one, or that of a run resumed before it.
                with written_aside(path) as aside:
                    aside.mkdir()
                    for name, snapshot in parts.items():
                        snapshot.write(str(aside / name))
                    files = {file.name: file.stat().st_size for file in sorted(aside.iterdir())}
                    write_json(aside / INFO, {"format": FORMAT, **info, "files": files}, indent=1)
                self._drop_old()
        except UserError as error:
            logging.error("%s", error)  # now, though the run learns of it at its next step
            raise

    def record_metrics(self, path, metrics):
        """Enters the metrics of an evaluation into a checkpoint. Raises UserError where it cannot be written."""
        info = read_info(path)
        with _disk_named(path):
            write_json(path / INFO, {**info, "metrics": metrics}, indent=1)

    def choose_best(self):
        """Links `best` to the checkpoint of the highest mask AP, or box AP where there are no masks."""
        scores = {path: _score(read_info(path).get("metrics")) for path in self.all()}
        # Of equals the newest; those without metrics never.
        path = max((path for path in scores if scores[path] is not None), key=lambda path: (scores[path], path.name))
        # In a copy of a run whose links became folders on the way, it replaces a folder.
        with written_aside(self.root / BEST) as aside:
            aside.symlink_to(path.name)
        self._drop_old()

    def _drop_old(self):
        """Deletes all but the last and the best; each disappears in one instant, as it appeared."""
        best = self.best()
        for path in sorted(self.root.glob(f"{_PREFIX}*"))[: -self.keep_last]:
            if path.resolve() != best:
                remove_at_once(path)


def read_info(path):
    """The dict in checkpoint.json of one checkpoint folder; UserError where there is none or it is not ours."""
    file = pathlib.Path(path) / INFO
    try:
        info = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a checkpoint: cannot read {INFO} ({type(error).__name__})") from error
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this version of awsdet: {INFO} does not say {FORMAT!r}")
    return info


def restore(path, detector, optimizer):
    """Gives model and optimizer, whose variables must all exist, the whole state of one checkpoint folder.

    Raises UserError where the checkpoint holds anything else.
    """
    with _damage_named(path):
        status = tf.train.Checkpoint(detector=detector, optimizer=optimizer).read(str(pathlib.Path(path) / "state"))
        status.assert_existing_objects_matched().assert_consumed()


def find(path):
    """The checkpoint that a path means.

    `path`: one checkpoint folder; or a run folder or its folder `checkpoints`, which mean the best checkpoint, and the
    newest where none is marked best. Raises UserError where there is none.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(
            f"checkpoint {path} does not exist; give a run folder or one of its checkpoints/{_PREFIX}… folders"
        )
    if (path / INFO).is_file():
        read_info(path)
        if not _whole(path):
            raise UserError(
                f"checkpoint {path} is damaged: its files are not those that {INFO} lists; take another one"
            )
        return path
    checkpoints = Checkpoints(path / "checkpoints" if (path / "checkpoints").is_dir() else path)
    found = checkpoints.best() or checkpoints.newest()
    if found is None:
        raise UserError(f"{path} holds no checkpoint; give a run folder or one of its checkpoints/{_PREFIX}… folders")
    return found


def load_for_inference(path):
    """The detector in a checkpoint, with averaged weights (EMA) where the run kept them.

    Args:
        path: see `find`.

    Returns:
        (Detector, info): info is the dict of checkpoint.json, its `config` a ConfigDict, and `path` added.

    Raises UserError where there is no checkpoint or its weights are not those of its config.
    """
    path = find(path)
    info = read_info(path)
    settings = config_module.from_json(json.dumps(info["config"]))
    detector = builder.build(settings, info["class_names"])
    with _damage_named(path):
        status = tf.train.Checkpoint(detector=detector).read(str(path / "state"))
        status.assert_existing_objects_matched().expect_partial()
        if (path / "average.index").is_file():
            means = [tf.Variable(tf.zeros_like(variable)) for variable in detector.trainable_variables]
            tf.train.Checkpoint(average=means).read(str(path / "average")).assert_consumed()
            for variable, mean in zip(detector.trainable_variables, means):
                variable.assign(mean)
    return detector, {**info, "config": settings, "path": str(path)}


@contextlib.contextmanager
def _disk_named(path):
    """Turns what goes wrong on disk into one line."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise UserError(
            f"checkpoint {path} could not be written: {reason}; mend that (make room, say) and go on with --resume"
        ) from error


@contextlib.contextmanager
def _damage_named(path):
    try:
        yield
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"checkpoint {path} does not hold the model that its config describes: {reason}") from error


def _score(metrics):
    return None if metrics is None else metrics.get("mask_ap", metrics["box_ap"])


def _whole(path):
    """Whether a folder holds all that its checkpoint.json lists; logs what is wrong."""
    if not (path / INFO).is_file():
        return False
    try:
        files = read_info(path)["files"]
    except (UserError, KeyError) as error:
        logging.warning("passing over %s: %s", path, error)
        return False
    for name, size in files.items():
        file = path / name
        if not file.is_file() or file.stat().st_size != size:
            logging.warning("passing over the damaged checkpoint %s: %s is not of %d bytes", path, name, size)
            return False
    return True
