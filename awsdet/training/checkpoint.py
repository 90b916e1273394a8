"""Writes the checkpoints of a run. Each holds the whole state of the run.

`awsdet.inference.checkpoint` describes and reads them. The folder of a checkpoint is written under another name,
flushed to disk and renamed, so a kill at any moment leaves only whole checkpoints. Training goes on meanwhile.
"""

import concurrent.futures
import contextlib
import pathlib
import threading

import tensorflow as tf
from absl import logging

from awsdet.inference import checkpoint
from awsdet.inference.checkpoint import FORMAT, INFO, PREFIX, STATE, State, assign, damage_named, name_of
from awsdet.runtime.errors import UserError, first_line
from awsdet.runtime.files import remove_at_once, remove_leftovers, write_json, written_aside
from awsdet.training.optimizer import state_variables
from awsdet.training.snapshot import Snapshot

ACCUMULATED = "/accumulated"  # ends the name of a sum of gradients


class Checkpoints:
    """The checkpoints of one run. Only one process may write them.

    Args:
        root: the folder `checkpoints` of a run; need not exist.
        keep_last: how many of the newest to keep.
        keep_best: how many of the best to keep besides; see `choose_best`.

    Attributes: held, path of one that is kept too, since its score is still to come; or None.
    """

    def __init__(self, root, keep_last=3, keep_best=1):
        self.root, self.keep_last, self.keep_best = pathlib.Path(root), keep_last, keep_best
        self._pool = self._writing = self.held = None
        # A score may arrive while a checkpoint is written, and both drop old ones: while the links change, none may go.
        self._dropping = threading.Lock()

    def clean(self):
        """Removes files that a killed process had written or removed only in part, and completes the links to the best.

        They may also be more or fewer than the run kept before.
        """
        for folder in (self.root, *self.paths()):
            remove_leftovers(folder)
        self._link_best()

    def paths(self):
        """Paths of all checkpoints, whole or not."""
        return sorted(self.root.glob(f"{PREFIX}*"))

    def path_of(self, step):
        """Path of the checkpoint of a step, whether there is one or not."""
        return self.root / f"{PREFIX}{step:08d}"

    def all(self):
        """Paths of the whole checkpoints, oldest first; damaged ones are named in the log and left out."""
        return checkpoint.whole(self.root)

    def newest(self):
        """Path of the newest whole checkpoint, or None."""
        return checkpoint.newest(self.root)

    def best(self):
        """Path of the best checkpoint, or None."""
        return checkpoint.best(self.root)

    def save(self, detector, optimizer, info):
        """Writes a checkpoint and drops the oldest. Returns its path. Arguments and errors: see `begin` and `wait`."""
        path = self.begin(detector, optimizer, info)
        self.wait()
        return path

    def begin(self, detector, optimizer, info):
        """Begins to write a checkpoint of the present state. Returns its path; call `wait` before you use it.

        `info`: JSON-ready dict for checkpoint.json, to which `format` and `files` are added; must contain `step`. The
        state may change as soon as this returns. If the checkpoint before is still being written, waits for it first,
        and raises what `wait` raises.
        """
        self.wait()
        path = self.path_of(info["step"])
        snapshot = Snapshot(state_of(detector, optimizer))
        self._pool = self._pool or concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing = self._pool.submit(self._write, path, snapshot, info)
        return path

    def wait(self):
        """Waits until the checkpoint that was begun is complete. Raises UserError if it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def settle(self):
        """As `wait`, but raises nothing: for a run that is ending with another error."""
        if self._writing is not None:
            concurrent.futures.wait([self._writing])

    @property
    def failed(self):
        """Whether the checkpoint that was begun could not be written; `wait` says why."""
        return self._writing is not None and self._writing.done() and self._writing.exception() is not None

    def _write(self, path, snapshot, info):
        try:
            with _disk_named(path):
                self.root.mkdir(parents=True, exist_ok=True)
                # There may be one of the same step: a damaged one, or that of a run resumed before it.
                with written_aside(path) as aside:
                    aside.mkdir()
                    snapshot.write(str(aside / STATE))
                    files = {file.name: file.stat().st_size for file in sorted(aside.iterdir())}
                    write_json(aside / INFO, {"format": FORMAT, **info, "files": files}, indent=1)
                with self._dropping:
                    self._drop_old()
        except UserError as error:
            logging.error("%s", error)  # now, though the run learns of it at its next step
            raise

    def record_metrics(self, path, metrics):
        """Enters the metrics of an evaluation into a checkpoint. Raises UserError if it cannot be written."""
        info = checkpoint.read_info(path)
        with _disk_named(path):
            write_json(path / INFO, {**info, "metrics": metrics}, indent=1)

    def choose_best(self):
        """Links `best` to the checkpoint of the highest mask AP, or box AP if there are no masks.

        If more than one is kept, `best-2`, `best-3`, … link to those that follow it. What is not linked, and not among
        the newest, is dropped.
        """
        with self._dropping:
            self._link_best()
            self._drop_old()

    def _link_best(self):
        scores = {path: _score(checkpoint.read_info(path).get("metrics")) for path in self.all()}
        evaluated = [path for path in scores if scores[path] is not None]
        # Of equally good ones the newer is the better.
        ranked = sorted(evaluated, key=lambda path: (scores[path], path.name), reverse=True)[: self.keep_best]
        for place, path in enumerate(ranked, start=1):
            link = checkpoint.best_link(self.root, place)
            if link.is_symlink() and link.resolve() == path.resolve():
                continue
            # If copying the run has turned the link into a folder, this replaces the folder.
            with written_aside(link) as aside:
                aside.symlink_to(path.name)
        if ranked:
            for link in checkpoint.best_links(self.root)[len(ranked) :]:
                remove_at_once(link)

    def _drop_old(self):
        """Deletes all but the last few and the best; each disappears in one instant."""
        best = {link.resolve() for link in checkpoint.best_links(self.root) if checkpoint.is_whole(link)}
        for path in self.paths()[: -self.keep_last]:
            if path != self.held and path.resolve() not in best:
                remove_at_once(path)

    def drop_after(self, step):
        """Deletes the checkpoints of later steps, newest first."""
        for path in reversed(self.paths()):
            if path > self.path_of(step):
                remove_at_once(path)


def best_to_keep(train):
    """How many of the best checkpoints a run keeps; `train`: config.train."""
    return train.keep_best_count if train.keep_best else 0


def state_of(detector, optimizer, accumulated=True):
    """The variables that are the state of a run, by their names in a checkpoint.

    `accumulated`: whether to include the gradients of an update that has begun.
    """
    variables = [*detector.variables, *state_variables(optimizer)]
    state = {name_of(variable): variable for variable in variables}
    if len(state) < len(variables):
        raise ValueError("two variables of the detector or its optimizer have the same name")
    return {name: v for name, v in state.items() if accumulated or not name.endswith(ACCUMULATED)}


def restore(path, detector, optimizer, accumulated=True):
    """Gives detector and optimizer, whose variables must all exist, the state in a checkpoint folder.

    `accumulated`: whether that includes the gradients of an update that has begun. Raises UserError if the checkpoint
    lacks a variable, or holds a variable of another model.
    """
    with damage_named(path):
        state, wanted = State(path), state_of(detector, optimizer, accumulated)
        assign(wanted.values(), state)
        # Names without a dot are hyper-parameters of the optimizer, which come from the config.
        foreign = {name for name in state.names() - set(wanted) if "." in name}
        foreign = sorted(name for name in foreign if accumulated or not name.endswith(ACCUMULATED))
        if foreign:
            raise ValueError(f"the model has no {foreign[0]}")


@contextlib.contextmanager
def _disk_named(path):
    """Turns an error of the disk into a UserError of one line."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(
            f"checkpoint {path} could not be written: {reason}; correct that (make room, say) and go on with --resume"
        ) from error


def _score(metrics):
    return None if metrics is None else metrics.get("mask_ap", metrics["box_ap"])
