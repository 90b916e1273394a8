"""Sends a run to MLflow: its settings, losses and metrics while it trains, its small files at the end.

MLflow is optional. A thread talks to its server, so that one that is slow or gone holds no step up; what could not be
sent is counted and told. A run that is resumed goes on in the same run of MLflow, whose id lies in the run's folder.
"""

import importlib
import importlib.util
import json
import math
import numbers
import os
import pathlib
import queue
import threading
import time

from absl import logging

from awsdet.runtime.errors import UserError, first_line
from awsdet.runtime.files import write_json
from awsdet.runtime.nested import flat

FILE = "mlflow.json"  # in the folder of a run: the address and the run's id there
_ARTIFACTS = ("config.json", "versions.json", "metrics.jsonl", "results.json", "examples.png")
_LONGEST = 500  # letters of a value, what every version of MLflow takes
_AT_ONCE = 100  # settings, or records of metrics
_WAITING = 10000  # records in the queue
_END_SECONDS = 60.0


def check(address):
    """Raises UserError if runs are to be sent somewhere and MLflow is not installed."""
    if address and importlib.util.find_spec("mlflow") is None:
        raise UserError(
            "train.mlflow is set, and MLflow is not installed: pip install 'mlflow-skinny<3', or leave it empty"
        )


def started(folder, config, address, experiment, step):
    """The Tracker of a run; None if MLflow cannot be reached, which is logged.

    Args:
        folder: of the run.
        config: its settings, a nested dict.
        address: of MLflow, as in http://host:5000 or file:/some/folder.
        experiment: name of the experiment there, which is made if needed.
        step: that the run begins at; above 0 it goes on in the run of MLflow that the folder names, if it names one.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default it tries for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    client = importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=address)
    try:
        return Tracker(client, _run_id(client, pathlib.Path(folder), config, address, experiment, step), folder)
    except Exception as error:  # of MLflow, of its HTTP client, of the disk: training goes on without
        logging.error("MLflow at %s does not answer, so this run is not sent there: %s", address, first_line(error))
        return None


def _run_id(client, folder, config, address, experiment, step):
    place = folder / FILE
    before = json.loads(place.read_text()) if step and place.is_file() else {}
    if before.get("address") == address:
        client.update_run(before["run_id"], status="RUNNING")
        client.set_tag(before["run_id"], f"resumed_at_step_{step}", "yes")
        return before["run_id"]
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else client.create_experiment(experiment)
    run_id = client.create_run(number, run_name=folder.resolve().name).info.run_id
    write_json(place, {"address": address, "experiment": experiment, "run_id": run_id})
    entities = importlib.import_module("mlflow.entities")
    settings = [entities.Param(key, str(value)[:_LONGEST]) for key, value in flat(config)]
    for first in range(0, len(settings), _AT_ONCE):
        client.log_batch(run_id, params=settings[first : first + _AT_ONCE])
    client.set_tag(run_id, "folder", str(folder.resolve()))
    return run_id


def metrics_of(record):
    """The numbers of a record of metrics.jsonl, by name: those that are finite, without the step and the classes."""
    return {
        name: float(value)
        for name, value in record.items()
        if name != "step" and isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    }


class Tracker:
    """Sends records to one run of MLflow, in a thread.

    Args:
        client: MlflowClient.
        run_id: of the run there.
        folder: of the run here.
    """

    def __init__(self, client, run_id, folder):
        self._client, self._run_id, self._folder = client, run_id, pathlib.Path(folder)
        self._records, self._lost, self._sending = queue.Queue(_WAITING), 0, True
        self._entities = importlib.import_module("mlflow.entities")
        self._thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, record):
        """Takes a record of metrics.jsonl."""
        try:
            self._records.put_nowait((int(1000 * time.time()), record))
        except queue.Full:
            self._lose(1, "its server is too slow")

    def end(self, status):
        """Sends the rest, the run's small files and its status (FINISHED, FAILED or KILLED); waits a minute at most."""
        try:
            self._records.put(status, timeout=1)
        except queue.Full:
            pass
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            self._lose(self._records.qsize(), f"it took more than {_END_SECONDS:.0f} s to send the rest")
        if self._lost:
            logging.warning("MLflow lacks %d records of this run; metrics.jsonl has them all", self._lost)

    def _send_all(self):
        while True:
            items = [self._records.get()]
            while len(items) < _AT_ONCE and not _is_end(items[-1]) and not self._records.empty():
                items.append(self._records.get())
            end = items.pop() if _is_end(items[-1]) else None
            self._attempt(len(items), self._send, items)
            if end:
                self._finish(end)
                return

    def _finish(self, status):
        for path in (self._folder / name for name in _ARTIFACTS):
            if path.is_file():
                self._attempt(0, self._client.log_artifact, self._run_id, str(path))
        self._attempt(0, self._client.set_terminated, self._run_id, status)

    def _send(self, items):
        points = [
            self._entities.Metric(name, value, moment, record["step"])
            for moment, record in items
            for name, value in metrics_of(record).items()
        ]
        for first in range(0, len(points), 1000):  # MLflow's limit
            self._client.log_batch(self._run_id, metrics=points[first : first + 1000])

    def _attempt(self, records, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:  # see `started`
            self._lose(records, first_line(error))

    def _lose(self, records, reason):
        self._lost += records
        if self._sending:
            self._sending = False  # said once
            logging.warning("MLflow did not take a part of this run, which trains on: %s", reason)


def _is_end(item):
    return isinstance(item, str)  # a status
