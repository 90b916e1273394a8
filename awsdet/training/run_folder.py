"""The folder of a run.

config.json      all settings of the run             checkpoints/     see awsdet.inference.checkpoint
versions.json    software and machine of the run     tensorboard/     events
metrics.jsonl    one JSON object per line            results.json     detections of the last evaluation (COCO)
                                                     examples.png     predictions beside ground truth
"""

import importlib.metadata
import json
import os
import pathlib
import platform
import socket

import tensorflow as tf

from awsdet import config as config_module
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import remove_leftovers, write_json, write_text
from awsdet.runtime.paths import given_path
from awsdet.runtime.version import __version__
from awsdet.training.checkpoint import Checkpoints

_PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "tensorflow-addons", "horovod", "numpy", "pycocotools")


class RunFolder:
    """The folder that a run writes to. Only rank 0 writes.

    Args:
        path: the folder; need not exist.
        keep_last: checkpoints to keep, besides the best.
    """

    def __init__(self, path, keep_last=3):
        self.path = pathlib.Path(given_path(path, "output", written=True))
        self.checkpoints = Checkpoints(self.path / "checkpoints", keep_last)
        self.results, self.examples = self.path / "results.json", self.path / "examples.png"
        self.tensorboard = self.path / "tensorboard"
        self._metrics = self.path / "metrics.jsonl"

    def find_start(self, resume):
        """The checkpoint to resume from, or None for a new run.

        Raises UserError if there is nothing to resume, or if there is a run but `resume` is False.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"output {self.path} is a file; give a folder")
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
        try:
            self._open(config, step)
        except OSError as error:
            raise UserError(
                f"output {self.path} cannot be written: {error.strerror or error}; give another --output, or make it "
                "writable"
            ) from error

    def _open(self, config, step):
        self.path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.path)
        self.checkpoints.clean()
        write_text(self.path / "config.json", config_module.to_json(config) + "\n")
        write_json(self.path / "versions.json", versions(), indent=2)
        kept = [line for line in self._metric_lines() if json.loads(line)["step"] <= step] if step else []
        write_text(self._metrics, "".join(f"{line}\n" for line in kept))

    def log(self, record):
        """Appends one JSON-ready dict to metrics.jsonl."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")

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
