"""The folder of a run.

run.lock         while the run goes on: who writes   checkpoints/     see awsdet.inference.checkpoint
config.json      all settings of the run
versions.json    software and machine of the run     tensorboard/     events
metrics.jsonl    one JSON object per line            results.json     detections of the last evaluation (COCO)
profile/         trace and table of some steps       examples.png     predictions beside ground truth
failed/          steps whose loss was not finite, each of the rank that wrote it (see awsdet.replay.failed_step)
scoring/         see awsdet.evaluation.score_files: while the score of an evaluation is outstanding
ended.json       once the run has ended: see `End`
"""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import socket
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from awsdet import config as config_module
from awsdet.evaluation.score_files import ScoreFiles
from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import check_folder, remove, remove_leftovers, write_json, write_text
from awsdet.runtime.paths import given_path
from awsdet.runtime.version import __version__
from awsdet.training.checkpoint import Checkpoints

LOCK, CONFIG = "run.lock", "config.json"
_ENDED = "ended.json"
_HOW = ("complete", "stopped", "failed")  # see `End`

_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "tensorflow-addons", "horovod", "numpy", "pycocotools")


class End(NamedTuple):
    """How a run ended, for those who follow it. One that is killed leaves none; --resume removes it.

    how: "complete": all its steps are done or it met its target; "stopped": by SIGTERM; or "failed".
    step: of its last checkpoint, if it is complete or was stopped.
    """

    how: str
    step: int


def read_end(path) -> End | None:
    """The End of the run in a folder; None if it has none. Raises UserError if it cannot be read."""
    file = pathlib.Path(path) / _ENDED
    try:
        end = End(**json.loads(file.read_text()))
        if end.how not in _HOW or type(end.step) is not int:
            raise ValueError(end)
        return end
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise UserError(
            f"{file} cannot be read ({reason}); remove it, and awsdet train --resume writes it anew"
        ) from error


class RunFolder:
    """The folder that a run writes to. Only rank 0 writes.

    Args:
        path: the folder; need not exist.
        keep_last, keep_best: how many of the newest and of the best checkpoints to keep.

    Attributes: tracker, a Tracker that gets all records too, or None.
    """

    def __init__(self, path, keep_last=3, keep_best=1):
        self.path = pathlib.Path(given_path(path, "output", written=True))
        self.checkpoints = Checkpoints(self.path / "checkpoints", keep_last, keep_best)
        self.results, self.examples = self.path / "results.json", self.path / "examples.png"
        self.tensorboard, self.profile = self.path / "tensorboard", self.path / "profile"
        self.failed = self.path / "failed"
        self.scoring = ScoreFiles(self.path / "scoring")
        self._metrics, self._lock = self.path / "metrics.jsonl", self.path / LOCK
        self._ownership, self._made, self.tracker = None, [], None

    def take(self, known=()):
        """Makes this process the only one that writes to the folder, until `release`. Returns the lock's token.

        known: tokens of those who wrote before in the same elastic run. Raises UserError if another run writes there,
        or if nobody can.
        """
        if self._ownership is None:
            self._check_kind()
            with self._errors_named():
                self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
                self.path.mkdir(parents=True, exist_ok=True)
                self._ownership = owner.acquire(self._lock, f"output {self.path}", known)
            self._check_folders()
        return self._ownership.token

    def check_free(self):
        """Raises UserError if another run writes to the folder, or nobody can. Leaves everything as it is."""
        self._check_kind()
        with self._errors_named():
            owner.check_free(self._lock, f"output {self.path}")
        self._check_folders()

    def check_owned(self):
        """Raises UserError if another run has taken the folder since `take`."""
        if self._ownership is None or self._ownership.is_mine():
            return
        if not self._lock.exists():  # somebody has removed it
            self.let_go()
            self.take()
        else:
            raise UserError(
                f"output {self.path} now belongs to another run, which had seen no sign of life of this one for too "
                "long; this one stops, so that they do not mix"
            )

    def release(self):
        """Lets others write to the folder. One that this run made and left empty is removed."""
        if self._ownership is not None:
            self._ownership.release()
            self._ownership = None
            with contextlib.suppress(OSError):  # not empty
                for folder in self._made:
                    folder.rmdir()

    def let_go(self):
        """Leaves the folder to another rank of the same run, which has become its chief."""
        if self._ownership is not None:
            self._ownership.drop()
            self._ownership = None

    def _check_folders(self):
        for folder in (self.path, self.checkpoints.root, self.tensorboard):
            check_folder(folder, "output")

    def _check_kind(self):
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"output {self.path} is a file; give a folder")

    def find_start(self, resume):
        """The checkpoint to resume from, or None for a new run.

        Raises UserError if there is nothing to resume, or if there is a run but `resume` is False.
        """
        self._check_kind()
        newest = self.checkpoints.newest()
        if resume and newest is None:
            raise UserError(
                f"nothing to resume: {self.checkpoints.root} holds no whole checkpoint; start without --resume"
            )
        if newest is not None and not resume:
            raise UserError(
                f"output {self.path} holds another run ({newest.name}); add --resume to go on with it, or give another "
                "--output"
            )
        return newest

    def open(self, config, step):
        """Writes the files that describe the run. `step`: where it starts; drops later lines of metrics.jsonl.

        Raises UserError if the folder cannot be written.
        """
        with self._errors_named():
            self._open(config, step)

    @contextlib.contextmanager
    def _errors_named(self):
        try:
            yield
        except OSError as error:
            raise UserError(
                f"output {self.path} cannot be written: {error.strerror or error}; give another --output, or make it "
                "writable"
            ) from error

    def _open(self, config, step):
        self.path.mkdir(parents=True, exist_ok=True)
        remove(self.path / _ENDED)
        for folder in (self.path, self.scoring.folder, self.failed):
            remove_leftovers(folder)
        self.checkpoints.clean()
        write_text(self.path / CONFIG, config_module.to_json(config) + "\n")
        write_json(self.path / "versions.json", versions(), indent=2)
        if not step:
            self.scoring.remove()  # of a run whose checkpoints somebody has removed
        outstanding = self.scoring.evaluated()  # its line is written again, if it was written before the run ended
        self.rewind(step, None if outstanding is None else outstanding.step)

    def rewind(self, step, unscored=None):
        """Drops lines of metrics.jsonl: those after a step, all if it is 0, and the evaluation's at step `unscored`."""
        records = [(json.loads(line), line) for line in self._metric_lines()] if step else []
        kept = [
            line
            for record, line in records
            if record["step"] <= step and not (record["step"] == unscored and "box_ap" in record)
        ]
        write_text(self._metrics, "".join(f"{line}\n" for line in kept))

    def log(self, record):
        """Appends one JSON-ready dict to metrics.jsonl, and gives it to the tracker if there is one."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")
        if self.tracker is not None:
            self.tracker.log(record)

    def end(self, end):
        """Leaves word of how the run ended (End), if the folder is still its own."""
        try:
            if self._ownership is not None and self._ownership.is_mine():
                write_json(self.path / _ENDED, end._asdict())
        except OSError as error:
            logging.warning("those who follow the run are not told of its end: %s", error)

    def _metric_lines(self):
        """The complete lines of metrics.jsonl; a kill may have left the last one incomplete."""
        if not self._metrics.is_file():
            return []
        text = self._metrics.read_text()
        return text[: text.rfind("\n") + 1].splitlines()


def versions():
    """JSON-ready dict of what a run depends on: packages, Python, machine, devices."""
    found = {"awsdet": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.get_visible_devices("GPU")]
    found["cuda"] = tf.sysconfig.get_build_info().get("cuda_version", "none")
    found["gpus"] = [details.get("device_name", "GPU") for details in gpus]
    found["machine"] = f"{socket.gethostname()}, {platform.platform()}, {os.cpu_count()} cores"
    return found
