"""Training on two hosts: the same numbers as on one, stopped, resumed, and ended by a full disk."""

import hashlib
import json
import re
import signal

from tests.cluster.jobs import EXACT, LONGEST, awsdet_launch, each_host
from tests.training.tiny_run import QUICK


def launch(cluster, engine, hosts, config_file, output, *more):
    """Starts a Job that trains on these hosts."""
    name, python = engine
    arguments = [
        f"--engine={name}",
        f"--stop-seconds={LONGEST}",
        hosts,
        "train",
        f"--config={config_file}",
        f"--output={output}",
        *more,
    ]
    return awsdet_launch(cluster, python, arguments, output.parent, **EXACT)


def rank_of_training(engine):
    """Regular expression for the processes of ranks of `launch`, but not for what started them."""
    return "^" + re.escape(f"{engine[1]} -m awsdet.cli.main train ")


def digests(run):
    """{name: SHA-256} of what a run leaves: the state of its last step (weights, optimizer, …), and the detections."""
    files = {path.name: path for path in (run / "checkpoints" / "step-00000004").glob("state.*")}
    files["results"] = run / "results.json"
    assert len(files) == 3 and json.loads(files["results"].read_text())
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_two_hosts_stopped_and_resumed_are_one_host_bit_for_bit(cluster, engine, config_file, tmp_path):
    """Four ranks: trained, evaluated, saved on SIGTERM to the launcher, and gone on with, one of them slowly."""
    first, second = cluster.hosts
    settings = [QUICK[0], "model.box_head.score_threshold=0.0", "train.evaluate_every_epochs=2", "train.pictures=0"]
    quick = [f"--config.{setting}" for setting in settings]
    alone = launch(cluster, engine, f"{first.name}:4", config_file, tmp_path / "one", *quick).finish()
    assert alone.code == 0, alone.text

    two = each_host(cluster, 2)
    job = launch(cluster, engine, two, config_file, tmp_path / "two", *quick)
    job.wait_for("epoch 1/2, step 1/4")
    # While one host stands still, none can go on, so all hear of the stop before the next step is done.
    second.freeze()
    job.signal(signal.SIGTERM)
    job.wait_for("the ranks finish their step and save")
    second.thaw()
    stopped = job.finish()
    assert stopped.code == 0, stopped.text
    assert re.search("saved at step [23]; go on with --resume", stopped.text) and "done: " not in stopped.text
    assert cluster.left_over() == []

    job = launch(cluster, engine, two, config_file, tmp_path / "two", *quick, "--resume")
    job.wait_for("epoch 2/2, step ")
    with second.slow(rank_of_training(engine)):
        resumed = job.finish()
    assert resumed.code == 0, resumed.text
    assert digests(tmp_path / "two") == digests(tmp_path / "one")
    assert cluster.left_over() == []


def test_disk_of_rank_0_is_full(cluster, engine, config_file, tmp_path):
    """The checkpoint that cannot be written ends the run on all hosts; the ones before it stay whole."""
    first = cluster.hosts[0]
    (tmp_path / "disk").mkdir()
    first.mount(tmp_path / "disk", options="size=16m")
    settings = ["train.epochs=5000", *QUICK]
    more = [f"--config.{setting}" for setting in settings]
    job = launch(cluster, engine, each_host(cluster, 1), config_file, tmp_path / "disk" / "run", *more)
    job.wait_for("epoch 2/5000")
    first.run(["dd", "if=/dev/zero", f"of={tmp_path}/disk/other", "bs=64k"])
    ended = job.finish()
    assert ended.code == 1
    assert "No space left on device" in ended.text and "out of memory" not in ended.text, ended.text
    # Rank 0 tells the others, so any of them may end first; the reason stands under its own name.
    assert "failed first" in ended.last
    lines = [line for line in ended.text.splitlines() if "No space left on device" in line]
    assert any(line.startswith(f"[{first.name}:0]") for line in lines), ended.text
    assert cluster.left_over() == []
    steps = first.run(["ls", tmp_path / "disk" / "run" / "checkpoints"]).stdout.split()
    assert [name for name in steps if name.startswith("step-")]
