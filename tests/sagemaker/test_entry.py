"""The entry point on one host: whole jobs, the next job on the same checkpoints, and the user's mistakes."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from tests.sagemaker.fake_jobs import QUICK, SAGEMAKER, failure_of, job_environment, make_job, run_entry
from tests.training.tiny_run import make_records, write_config

HOST = "localhost"  # a name with an address
ONE_HOST = {"hosts": (HOST,), "current": HOST}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a COCO data set in archives (coco), its records (records), and a config file (config)."""
    folder = tmp_path_factory.mktemp("data")
    records = make_records(folder)
    (folder / "config").mkdir()
    write_config(folder / "config" / "tiny.py", "")
    (folder / "coco").mkdir()
    shutil.make_archive(folder / "coco" / "annotations", "gztar", folder, "annotations")
    with zipfile.ZipFile(folder / "coco" / "images.zip", "w") as archive:
        for path in sorted((folder / "images").rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    assert records == folder / "records"
    return folder


def channels(data, train="records"):
    return {"train": data / train, "config": data / "config"}


def change(root, **settings):
    """Makes another job of the tree: other hyper-parameters, what SageMaker brings back, nothing else."""
    path = root / "input" / "config" / "hyperparameters.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), **{k.replace("_0_", "."): v for k, v in settings.items()}})
    )


def steps(log):
    """The steps of the metric lines of losses in a log."""
    return [
        int(line.split("step=")[1].split()[0])
        for line in log.splitlines()
        if " loss=" in line and "awsdet_metric" in line
    ]


def test_a_job_and_the_one_that_goes_on_with_it(tmp_path, data):
    settings = {"config": '"tiny.py"', "model.detector": '"faster_rcnn"', "train.epochs": "1", "model_dir": '"s3://x"'}
    root = make_job(tmp_path / "ml", settings, {**channels(data, "coco"), "sm_drivers": data / "config"}, **ONE_HOST)
    (root / "output" / "tensorboard").mkdir()
    first = run_entry(root, TRAINING_JOB_NAME="first", AWSDET_EXPORT=1)
    assert first.code == 0 and not first.failure, first.log
    assert "extracted 11 files from images.zip" in first.log and "records of val" in first.log
    assert "holds no checkpoint: starting a new run" in first.log
    assert steps(first.log) == [1, 2, 3] and "box_ap=" in first.log

    model = {path.name: path for path in (root / "model").iterdir()}
    assert set(model) == {"weights.safetensors", "config.json", "classes.json", "metrics.json", "exported"}
    assert "the exported model is in" in first.log and (model["exported"] / "1" / "saved_model.pb").is_file()
    assert [entry["name"] for entry in json.loads(model["classes.json"].read_text())][:2] == ["circle", "rectangle"]
    metrics = json.loads(model["metrics.json"].read_text())
    assert metrics["step"] == 3 and "box_ap" in metrics
    left = {path.name for path in (root / "output" / "data").iterdir()}
    assert {"train.log", "metrics.jsonl", "results.json", "examples.png", "config.json", "versions.json"} <= left
    events = list((root / "output" / "tensorboard").rglob("*tfevents*"))
    assert (
        events and events[0].stat().st_size == list((root / "checkpoints/run/tensorboard").iterdir())[0].stat().st_size
    )
    assert not (root / "scratch" / "extracted" / "train").exists()

    # As SageMaker starts the next job with this S3 address for checkpoints, on a machine of the same warm pool.
    change(root, train_0_epochs="2")
    (root / "model" / "old").touch()
    second = run_entry(root, TRAINING_JOB_NAME="second")
    assert second.code == 0, second.log
    assert "removing what the job first left" in second.log and not (root / "model" / "old").exists()
    assert "holds a run up to step-00000003: going on with it" in second.log and "resumed from" in second.log
    assert steps(second.log) == [4, 5, 6]
    assert json.loads((root / "model" / "metrics.json").read_text())["step"] in (3, 6)  # the better one

    change(root, model_0_fpn_0_channels="16")
    foreign = run_entry(root)
    assert foreign.code == 2 and "model.fpn.channels was 8 and is now 16" in foreign.failure
    assert "to start anew, use another S3 address" in foreign.failure and len(foreign.failure) < 1024

    change(root, model_0_fpn_0_channels="8")
    for path in (root / "checkpoints/run/checkpoints").glob("step-*/state.data*"):
        path.write_bytes(path.read_bytes()[:100])
    damaged = run_entry(root)
    assert damaged.code == 0 and "starting a new run; the damaged ones are kept in" in damaged.log, damaged.log
    assert steps(damaged.log)[0] == 1 and list((root / "checkpoints/run/checkpoints-damaged-1").glob("step-*"))


def test_a_job_that_misses_its_target_tells_why(tmp_path, data):
    settings = {
        "config": "tiny.py",
        "model.detector": "faster_rcnn",
        "train.epochs": "1",
        "train.box_ap_target": "0.99",
    }
    root = make_job(tmp_path / "ml", settings, channels(data), **ONE_HOST)
    ended = run_entry(root)
    assert ended.code == 1 and "without meeting the target (box AP 0.99" in ended.failure, ended.log
    assert not list((root / "model").iterdir()) and (root / "output" / "data" / "train.log").is_file()


def test_weights_are_what_the_training_starts_from(tmp_path, data):
    root = make_job(
        tmp_path / "ml", {"config": "tiny.py", **QUICK}, {**channels(data), "weights": data / "config"}, **ONE_HOST
    )
    ended = run_entry(root)  # the one file in the channel is no weights
    assert ended.code == 2 and "input/data/weights/tiny.py" in ended.failure


@pytest.mark.parametrize(
    "settings, without, message",
    [
        ({"config": None}, (), "hyper-parameter config is missing"),
        ({"config": "configs/nothing.py"}, (), "configs/nothing.py, which is neither in the image"),
        ({"data.batch_sise": "4"}, (), "did you mean data.batch_size?"),
        ({"data.batch_size": "many"}, (), "hyper-parameter data.batch_size=many: expected an int"),
        ({}, ("train",), "channel train is missing"),
    ],
)
def test_mistakes_cost_no_time(tmp_path, data, settings, without, message):
    given = {key: value for key, value in {"config": "tiny.py", **settings}.items() if value}
    kept = {name: folder for name, folder in channels(data).items() if name not in without}
    root = make_job(tmp_path / "ml", given, kept, **ONE_HOST)
    ended = run_entry(root, timeout=60)
    assert ended.code == 2 and message in ended.failure and ended.failure.count("\n") == 0
    assert f"awsdet job: a mistake to mend: {ended.failure}" in ended.log and "Traceback" not in ended.log


def test_an_archive_with_paths_that_lead_out(tmp_path, data):
    (tmp_path / "evil").mkdir()
    with zipfile.ZipFile(tmp_path / "evil" / "images.zip", "w") as archive:
        archive.writestr("../../../evil.txt", "evil")
    root = make_job(tmp_path / "ml", {"config": "tiny.py"}, {**channels(data), "train": tmp_path / "evil"}, **ONE_HOST)
    ended = run_entry(root)
    assert ended.code == 2 and "'../../../evil.txt', which leads out of the archive" in ended.failure
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize(
    "name, value", [("AWSDET_PROCESSES_PER_HOST", "0"), ("AWSDET_SSH_PORT", "ssh"), ("AWSDET_EXPORT", "no")]
)
def test_variables_of_no_use(tmp_path, data, name, value):
    root = make_job(tmp_path / "ml", {"config": "tiny.py"}, channels(data), **ONE_HOST)
    ended = run_entry(root, **{name: value})
    assert ended.code == 2 and name in ended.failure and value in ended.failure


@pytest.mark.parametrize("script", ["echo broken >&2; exit 9", "exit 0"])
def test_gpus_that_do_not_answer_are_not_replaced_by_the_cpu(tmp_path, data, script):
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    root = make_job(tmp_path / "ml", {"config": "tiny.py"}, {**channels(data), "train": data / "config"}, **ONE_HOST)
    path = f"{program.parent}:{os.environ['PATH']}"
    ended = run_entry(root, PATH=path)
    assert ended.code == 1 and "nvidia-smi lists no GPU" in ended.failure and len(ended.failure.splitlines()) == 1
    assert "AWSDET_PROCESSES_PER_HOST" in ended.failure and ("broken" in script) == (": broken" in ended.failure)
    wanted = run_entry(root, PATH=path, AWSDET_PROCESSES_PER_HOST=1)
    assert wanted.code == 2 and "channel train holds neither" in wanted.failure  # it came that far


def test_a_host_without_an_address_is_named(tmp_path, data):
    hosts = (HOST, "no-such-host.invalid")
    root = make_job(tmp_path / "ml", {"config": "tiny.py"}, channels(data), hosts, HOST)
    ended = run_entry(root, AWSDET_DNS_SECONDS=2)
    assert ended.code == 1 and "no address for no-such-host.invalid" in ended.failure


def test_a_stop_while_hosts_are_waited_for(tmp_path, data):
    root = make_job(tmp_path / "ml", {"config": "tiny.py"}, channels(data), (HOST, "no-such-host.invalid"), HOST)
    process = subprocess.Popen(
        [sys.executable, SAGEMAKER / "entry.py", "train"],
        env=job_environment(AWSDET_SM_ROOT=root, AWSDET_LINK_PORT=7699),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "host 1 of 2" in process.stdout.readline()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "told to stop before the training began" in out and not failure_of(root)


def test_commands_of_the_image(tmp_path):
    said = run_entry(tmp_path, ["sh", "-c", "echo $0 $1; exit 7", "a", "train"])
    assert (said.code, said.log) == (7, "a train\n")
    unknown = run_entry(tmp_path, ["no-such-command", "train"])
    assert unknown.code == 2 and "no-such-command cannot be started" in unknown.log
    assert run_entry(tmp_path, [sys.executable, "-m", "awsdet.cli.main", "--help"]).log.startswith("Usage: awsdet")


def test_without_a_job_the_way_to_run_commands_is_told(tmp_path):
    ended = run_entry(tmp_path, [])
    assert ended.code == 2 and "docker run IMAGE awsdet doctor" in ended.log


def test_a_python_without_awsdet_gives_way_to_the_one_with_it(tmp_path, data):
    """SageMaker's toolkit starts the entry point with its own Python, and repeats the hyper-parameters as arguments."""
    other = pathlib.Path(sys.base_prefix) / "bin" / "python3"
    arguments = ["--config", "tiny.py", "--data.batch_sise", "4"]
    root = make_job(tmp_path / "ml", {"config": "tiny.py", "data.batch_sise": "4"}, channels(data), **ONE_HOST)
    ended = run_entry(root, arguments, python=other, PYTHONPATH="", AWSDET_PYTHON=sys.executable)
    assert ended.code == 2 and "did you mean data.batch_size" in ended.failure
    assert "4 arguments left out" in ended.log
    lost = run_entry(root, arguments, python=other, PYTHONPATH="", AWSDET_PYTHON="/no/python")
    assert lost.code == 2 and "/no/python has no awsdet" in lost.log
