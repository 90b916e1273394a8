"""Training on two hosts: the same numbers as on one, stopped, resumed, and ended by a full disk."""

import hashlib
import json
import signal
import sys

from tests.cluster.jobs import EXACT, awsdet_launch
from tests.training.tiny_run import QUICK


def launch(cluster, engine, hosts, config_file, output, *more):
    """Starts a Job that trains on these hosts."""
    name, python = engine
    arguments = [f"--engine={name}", hosts, "train", f"--config={config_file}", f"--output={output}", *more]
    return awsdet_launch(cluster, python, arguments, output.parent, **EXACT)


def digests(run):
    """{name: SHA-256} of what a run leaves: the state of its last step (weights, optimizer, …), and the detections."""
    files = {path.name: path for path in (run / "checkpoints" / "step-00000004").glob("state.*")}
    files["results"] = run / "results.json"
    assert len(files) == 3 and json.loads(files["results"].read_text())
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_two_hosts_stopped_and_resumed_are_one_host_bit_for_bit(cluster, engine, config_file, tmp_path):
    """Trained, evaluated, saved on SIGTERM to the launcher, and gone on with. Four ranks, or two under Open MPI."""
    one, two, batch = ("node1:4", "node1:2,node2:2", 2) if engine[0] == "gloo" else ("node1:2", "node1:1,node2:1", 4)
    settings = [QUICK[0], f"data.batch_size={batch}", "model.box_head.score_threshold=0.0"]
    quick = [f"--config.{setting}" for setting in settings]
    alone = launch(cluster, engine, one, config_file, tmp_path / "one", *quick).finish()
    assert alone.code == 0, alone.text

    job = launch(cluster, engine, two, config_file, tmp_path / "two", *quick)
    job.wait_for("epoch 1/2, step 1/4")
    job.signal(signal.SIGTERM)
    stopped = job.finish()
    assert stopped.code == 0, stopped.text
    assert "go on with --resume" in stopped.text and "done: " not in stopped.text
    assert cluster.left_over() == []

    resumed = launch(cluster, engine, two, config_file, tmp_path / "two", *quick, "--resume").finish()
    assert resumed.code == 0, resumed.text
    assert digests(tmp_path / "two") == digests(tmp_path / "one")
    assert cluster.left_over() == []


def test_disk_of_rank_0_is_full(cluster, config_file, tmp_path):
    """The checkpoint that cannot be written ends the run on all hosts; the ones before it stay whole."""
    first = cluster.hosts[0]
    (tmp_path / "disk").mkdir()
    first.mount(tmp_path / "disk", options="size=16m")
    settings = ["train.epochs=5000", *QUICK]
    more = [f"--config.{setting}" for setting in settings]
    engine = ("gloo", sys.executable)
    job = launch(cluster, engine, "node1:1,node2:1", config_file, tmp_path / "disk" / "run", *more)
    job.wait_for("epoch 2/5000")
    first.run(["dd", "if=/dev/zero", f"of={tmp_path}/disk/other", "bs=64k"])
    ended = job.finish()
    assert ended.code == 1
    assert "No space left on device" in ended.text and "out of memory" not in ended.text, ended.text
    assert "rank 0 (node1) failed first" in ended.last
    assert cluster.left_over() == []
    steps = first.run(["ls", tmp_path / "disk" / "run" / "checkpoints"]).stdout.split()
    assert [name for name in steps if name.startswith("step-")]
