"""A run in MLflow: its settings, metrics and files, over a resumed run, and beside a store that fails."""

import json
import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

from awsdet import config as config_module
from awsdet.runtime.errors import UserError
from awsdet.training import tracking
from tests.environments import environment
from tests.training.tiny_run import QUICK, load_config, logged_lines

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import json, pathlib, shutil, sys
from absl import logging
from awsdet import config as config_module
from awsdet.training import tracking
from awsdet.training.loop import train
from mlflow.tracking import MlflowClient

file, folder, *overrides = sys.argv[1:]
folder, store = pathlib.Path(folder), pathlib.Path(folder, "store")
address = f"file:{store}"
own = [f"train.mlflow={address}", "train.mlflow_experiment=tiny", *overrides]
train(config_module.load(file, [*own, "train.epochs=1"]), folder / "run")
resumed = tracking.started(folder / "run", {"train": {"epochs": 2}}, address, "tiny", 3)
for step in (4, 5):
    resumed.log({"step": step, "loss": 1.5 * step})
resumed.end("KILLED")

client = MlflowClient(tracking_uri=address)
experiment = client.get_experiment_by_name("tiny")
(run,) = client.search_runs([experiment.experiment_id])
points = {}
for name in run.data.metrics:
    points[name] = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
files = sorted(artifact.path for artifact in client.list_artifacts(run.info.run_id))
seen = {"status": run.info.status, "name": run.info.run_name, "params": run.data.params, "tags": run.data.tags}
print(json.dumps({**seen, "points": points, "files": files}))

tracker = tracking.started(folder / "run", {}, address, "tiny", 0)
shutil.rmtree(store)
store.write_text("no folder")
for step in range(3):
    tracker.log({"step": step, "loss": 1.0})
tracker.end("FINISHED")
assert tracking.started(folder / "run", {}, "http://127.0.0.1:9", "tiny", 0) is None
"""


@pytest.fixture
def python_path():
    """The environment of a process that finds MLflow; skips the test if there is none."""
    packages = sysconfig.get_path("purelib", vars={"base": environment("mlflow")})
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{packages}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_a_run_and_the_one_that_goes_on_with_it(config_file, tmp_path, python_path):
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        config_file,
        tmp_path,
        *QUICK,
        "train.tensorboard=false",
        "train.pictures=0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=python_path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["status"], seen["name"]) == ("KILLED", "run")
    assert seen["tags"]["folder"] == str(tmp_path / "run") and "resumed_at_step_3" in seen["tags"]
    settings = dict(tracking.flat(json.loads(config_module.to_json(load_config(config_file, *QUICK)))))
    assert set(seen["params"]) == set(settings) and seen["params"]["model.fpn.channels"] == "8"
    assert seen["params"]["train.epochs"] == "1"  # as the run began
    lines = logged_lines(tmp_path / "run")
    for name in ("loss", "learning_rate"):
        expected = [(line["step"], pytest.approx(line[name])) for line in lines if name in line]
        expected += [(4, 6.0), (5, 7.5)] if name == "loss" else []
        assert [tuple(point) for point in seen["points"][name]] == expected, name
    assert [step for step, _ in seen["points"]["loss"]] == [1, 2, 3, 4, 5]
    assert seen["files"] == ["config.json", "metrics.jsonl", "versions.json"]
    # A store that is lost on the way, and a server that does not answer.
    assert done.stderr.count("MLflow did not take a part of this run, which trains on") == 1, done.stderr[-3000:]
    assert "MLflow lacks 3 records of this run; metrics.jsonl has them all" in done.stderr
    assert "MLflow at http://127.0.0.1:9 does not answer, so this run is not sent there" in done.stderr


def test_what_is_a_metric():
    record = {"step": 7, "loss": 2, "epoch": 1.5, "box_ap": float("nan"), "per_class": {"a": 1.0}, "odd": True}
    assert tracking.metrics_of(record) == {"loss": 2.0, "epoch": 1.5}


def test_settings_have_the_keys_of_the_command_line():
    assert dict(tracking.flat({"seed": 1, "train": {"epochs": 2, "deep": {"x": []}}})) == {
        "seed": 1,
        "train.epochs": 2,
        "train.deep.x": [],
    }


def test_without_mlflow_a_run_that_wants_it_does_not_start():
    tracking.check("")
    with pytest.raises(UserError, match="MLflow is not installed: pip install"):
        tracking.check("file:/runs")


@pytest.mark.parametrize("address", ["runs", "https://me:secret@host"])
def test_addresses_that_are_none(config_file, address):
    with pytest.raises(UserError, match="train.mlflow"):
        config_module.check(load_config(config_file, f"train.mlflow={address}"))
