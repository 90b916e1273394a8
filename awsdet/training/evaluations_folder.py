"""The folder of those evaluations of a run that another process makes beside it.

metrics.jsonl       one JSON object per checkpoint, by step: what was evaluated, and its metrics
results/            step-00000010.json, …: the detections of each (COCO)
checkpoints/        the best checkpoint, and the one that was evaluated last: see awsdet.inference.checkpoint
tensorboard/        events
run.lock            while somebody writes here
"""

import errno
import hashlib
import json
import os
import pathlib
import shutil

import tensorflow as tf

from awsdet.analysis import runs
from awsdet.inference import checkpoint
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import remove_leftovers, write_json, write_text, written_aside
from awsdet.training.run_folder import CONFIG, RunFolder

_LINKLESS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)  # why a file may have no second name


class EvaluationsFolder:
    """The folder; only one process writes there. A line of metrics.jsonl is written last: with it, all else is there.

    Args:
        path: the folder; need not exist.

    Attributes: path; records, the dicts in metrics.jsonl, by step; writer, a tf.summary writer.
    """

    def __init__(self, path):
        self._folder = RunFolder(path, keep_last=1, keep_best=1)
        self.path, self._checkpoints = self._folder.path, self._folder.checkpoints
        self._metrics, self._results = self.path / runs.FILE, self.path / "results"
        self.records, self.writer = [], None

    def open(self):
        """Takes the folder until `close`, and reads what is there; see `read`. Raises UserError if it cannot be had."""
        self._folder.take()
        self.read()
        for folder in (self.path, self._results):
            remove_leftovers(folder)
        self._checkpoints.clean()
        self.writer = tf.summary.create_file_writer(os.fsencode(self._folder.tensorboard))

    def read(self):
        """Reads which checkpoints were evaluated. Raises UserError if the folder is that of a run."""
        records = runs.read_records(self._metrics) if self._metrics.is_file() else []
        is_run = (self.path / CONFIG).exists() or any(self.path.glob(f"{checkpoint.PREFIX}*/{checkpoint.INFO}"))
        if is_run or not all(isinstance(record.get("checkpoint"), str) for record in records):
            raise UserError(f"output {self.path} is a run, whose files must stay; give another --output")
        self.records = records

    def newest(self):
        """The dict in checkpoint.json of the last checkpoint of those taken in; None if there is none."""
        path = self._checkpoints.newest()
        return None if path is None else checkpoint.read_info(path)

    def check_records(self, digest):
        """Raises UserError unless all evaluations here are on the records of this `records_digest`."""
        if any(one["records"] != digest for one in self.records):
            raise UserError(
                f"output {self.path} holds evaluations on other records or another split; give another --output"
            )

    def close(self):
        """Lets others write there."""
        if self.writer is not None:
            self.writer.close()
        self._folder.release()

    def marks(self):
        """Step -> mark (see `mark_of`) of each checkpoint that was evaluated."""
        return {record["step"]: record["checkpoint"] for record in self.records}

    def unfinished(self):
        """Path of the checkpoint that was taken in and whose evaluation was broken off; None if there is none."""
        marks = self.marks()
        for path in self._checkpoints.paths():
            if checkpoint.damage(path):
                continue
            info = checkpoint.read_info(path)
            if marks.get(info["step"]) != mark_of(info):
                return path
        return None

    def hold(self, source):
        """Takes in a checkpoint of the run, so that it stays though the run may drop it. Returns its path here.

        None if the run drops it in this moment. It takes no room as long as the run keeps it too, on one file system.
        """
        path = self._checkpoints.root / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            info = json.loads((source / checkpoint.INFO).read_text())
            with written_aside(path) as aside:
                aside.mkdir()
                for name in info["files"]:
                    _link(source / name, aside / name)
                write_json(aside / checkpoint.INFO, {**info, "metrics": None}, indent=1)
        except OSError:
            if source.is_dir():
                raise
            return None
        return path

    def results_of(self, step):
        """Path of the file for the detections of a step."""
        return self._results / f"{self._checkpoints.path_of(step).name}.json"

    def enter(self, record, metrics):
        """Enters an evaluation of the checkpoint that was taken in last.

        Args:
            record: dict of what belongs to it besides its metrics: step, checkpoint (its mark), and more.
            metrics: dict of `coco_metrics`.

        A checkpoint of this step with another mark is of a run before this, so what came after it is forgotten too.
        """
        step, marks = record["step"], self.marks()
        others = [one for one in self.records if one["step"] != step]
        if marks.get(step, record["checkpoint"]) != record["checkpoint"]:
            others = [one for one in others if one["step"] < step]
            self._checkpoints.drop_after(step)
        self._checkpoints.record_metrics(self._checkpoints.path_of(step), metrics)
        self._checkpoints.choose_best()
        self.records = sorted([*others, {**record, **metrics}], key=lambda one: one["step"])
        write_text(self._metrics, "".join(f"{json.dumps(one)}\n" for one in self.records))


def mark_of(info):
    """What tells a checkpoint from others of its step, by the dict in its checkpoint.json; its metrics do not count."""
    text = json.dumps({**info, "metrics": None}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _link(source: pathlib.Path, path: pathlib.Path):
    try:
        os.link(source, path)
    except OSError as error:
        if error.errno not in _LINKLESS:
            raise
        shutil.copyfile(source, path)
