"""`awsdet train` while processes are killed and hosts join: only a few steps are lost, and every image comes once."""

import json
import pathlib
import shutil
import socket

import numpy as np
import pytest

from awsdet.runtime.world import World
from awsdet.training import loop
from awsdet.training.run_folder import RunFolder
from tests.elastic.seen import check_images, check_worlds, lasting_steps, starts
from tests.training.tiny_run import load_config, logged_lines, make_records, write_config

PROGRAM = pathlib.Path(__file__).with_name("watched_run.py")
IMAGES = 13
SETTINGS = ("model.detector=faster_rcnn", "data.batch_size=1", "train.pictures=0", "train.commit_every_steps=2")


@pytest.fixture
def train(elastic_job, tmp_path):
    """train(settings, events, …) -> Finished, under `awsdet launch`; the run is in `tmp_path / "run"`."""
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, train_images=IMAGES))

    def run(settings, events, hosts="localhost:1\n127.0.0.1:1\n", **options):
        overrides = [f"--config.{text}" for text in (*SETTINGS, *settings)]
        arguments = ["train", f"--config={config}", f"--output={tmp_path / 'run'}", *overrides]
        # A host that was lost does not come back during the test.
        return elastic_job(PROGRAM, arguments, hosts, events, {"return_seconds": (500, 600), **options})

    return run


def test_the_chief_dies_while_it_saves_and_a_host_joins(train, tmp_path):
    """Rank 0 is killed with half a checkpoint on disk; the other rank goes on, alone; then a third host joins it."""
    run = tmp_path / "run"
    more = f"localhost:1\n127.0.0.1:1\n{socket.gethostname()}:1\n"
    job = train(
        ("train.epochs=2", "train.checkpoint_every_steps=2", "train.keep_last=50", "train.log_every_steps=1"),
        [{"world": 1, "rank": 0, "checkpoint": 4, "kill": True}, {"world": 2, "rank": 0, "step": 10, "hosts": more}],
        most=2,
    )
    assert job.code == 0, job.output
    check_worlds(job, [2, 1, 2])
    first, alone, joined = (starts(job)[number][0] for number in (1, 2, 3))
    assert (first["accumulate"], alone["accumulate"], joined["accumulate"]) == (1, 2, 1)
    kept = {int(path.name[5:]): path for path in RunFolder(run).checkpoints.all()}
    assert alone["start"] in (4, 6) and 4 not in kept  # there is a commit of the step whose checkpoint is incomplete
    logged = logged_lines(run)
    ends = [line["step"] for line in logged if "box_ap" in line]
    check_images(job, IMAGES, ends)
    assert all(record["traces"] == 1 for record in job.records if "traces" in record)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best", *(path.name for path in kept.values())}

    # Alone, the rank did what a run of one process does that goes on from one of its checkpoints: batches, accumulation
    # and learning rate are right. The rate is that of the first world, since the images per update are.
    begin, end = min(step for step in kept if step > alone["start"]), joined["start"]
    copy = tmp_path / "copy"
    shutil.copytree(run, copy, symlinks=True)
    for path in RunFolder(copy).checkpoints.all():
        if int(path.name[5:]) != begin:
            shutil.rmtree(path)
    settings = (*SETTINGS, "train.epochs=2", "train.evaluate_every_epochs=0", "train.log_every_steps=1")
    config = load_config(tmp_path / "tiny.py", *settings)
    assert loop.train(config, copy, World(), resume=True).exit_code == 0

    def of(folder, name):
        return {line["step"]: line[name] for line in logged_lines(folder) if "loss" in line}

    compared = [step for step in of(copy, "loss") if begin < step <= end]
    assert len(compared) >= 3
    for name in ("loss", "learning_rate", "gradient_norm"):
        ours, fixed = of(run, name), of(copy, name)
        np.testing.assert_allclose([ours[s] for s in compared], [fixed[s] for s in compared], rtol=1e-4, err_msg=name)


def test_a_host_dies_in_a_commit_and_the_chief_in_an_evaluation(train, tmp_path):
    """A host with two ranks is lost while they commit step 2; then rank 0 while all ranks evaluate."""
    job = train(
        ("train.epochs=1", "train.evaluate_every_epochs=1"),
        [
            {"world": 1, "host": "localhost", "commit": 2, "kill": True},
            {"world": 2, "rank": 0, "evaluation": True, "kill": True},
        ],
        hosts=f"localhost:2\n127.0.0.1:1\n{socket.gethostname()}:1\n",
    )
    assert job.code == 0, job.output
    check_worlds(job, [4, 2, 1])
    worlds = starts(job)
    # Another rank may have been cut off in the exchange before the commit.
    assert worlds[1][0]["start"] == 0 and worlds[2][0]["start"] in (0, 2)
    assert [worlds[number][0]["accumulate"] for number in (1, 2, 3)] == [1, 2, 4]
    # If the epoch ended within an update, the last rank reads the images of that once more.
    end = max(lasting_steps(job)) + 1
    check_images(job, IMAGES, [end])
    assert [line["step"] for line in logged_lines(tmp_path / "run") if "box_ap" in line] == [end]
    newest = RunFolder(tmp_path / "run").checkpoints.newest()
    info = json.loads((newest / "checkpoint.json").read_text())
    assert info["step"] == end and "box_ap" in info["metrics"] and info["elastic"]


def test_an_error_of_its_own_ends_the_run_with_its_message(train):
    """Horovod's own wrapper would take this error for the end of the training, and exit with 0."""
    job = train(("train.evaluate_every_epochs=0",), [{"world": 1, "rank": 1, "step": 0, "error": "no cuDNN handle"}])
    assert job.code == 1
    assert "no cuDNN handle" in job.output and "so the run ends here too" in job.output
    assert list(starts(job)) == [1]
