"""`awsdet launch --elastic` if machines hang: on hosts that are network namespaces, each with a real sshd."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.cluster.hosts import Cluster, missing
from tests.cluster.jobs import Job
from tests.elastic.seen import Finished, check_images, check_worlds, lasting_steps, read_records, starts
from tests.training.tiny_run import QUICK, make_records, write_config

HERE = pathlib.Path(__file__).parent
IMAGES = 13
SETTINGS = (*QUICK, "data.batch_size=1", "train.commit_every_steps=2", "train.epochs=1")


def test_a_process_that_is_frozen_is_ended(tmp_path):
    """Its machine is well, so the other rank must find out, and the launcher must end it: it cannot do so itself."""
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    command = [sys.executable, HERE / "launch_program.py", '{"hosts": "localhost:1,127.0.0.1:1"}']
    done = subprocess.run(
        [*command, HERE / "world_program.py", plan, "freeze"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "HOROVOD_GLOO_TIMEOUT_SECONDS": "5"},
        cwd=tmp_path,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout
    assert "ended: ended by signal 9, SIGKILL" in done.stdout and "counted 2 1" in done.stdout, done.stdout


@pytest.fixture
def cluster(tmp_path):
    reason = missing()
    if reason:
        pytest.skip(reason)
    with Cluster(tmp_path / "cluster", size=3) as cluster:
        yield cluster


def test_a_host_hangs_and_another_loses_its_network(cluster, tmp_path):
    """The last host goes on alone, and the others end what is left of the job on them once they answer again."""
    folder, plan = tmp_path / "seen", tmp_path / "plan.json"
    folder.mkdir()
    # A rank that waits there holds up the others, so that the fault comes at this step.
    events = [{"world": world, "host": f"node{world + 1}", "step": 3, "hang": True} for world in (1, 2)]
    plan.write_text(json.dumps({"folder": str(folder), "hosts": "", "events": events}))
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, train_images=IMAGES))
    train = ["train", f"--config={config}", f"--output={tmp_path / 'run'}", *(f"--config.{text}" for text in SETTINGS)]
    options = '{"hosts": "node2:1,node3:1,node1:1", "lost_seconds": 5}'
    command = [sys.executable, HERE / "launch_program.py", options]
    job = Job(cluster, [*command, HERE / "watched_run.py", plan, *train], tmp_path, HOROVOD_GLOO_TIMEOUT_SECONDS="10")
    _, frozen, unplugged = cluster.hosts
    job.wait_for("hangs in world 1")
    frozen.freeze()
    job.wait_for("hangs in world 2")
    unplugged.cable("down")
    ended = job.finish()
    assert ended.code == 0, ended.text
    for name in ("node2", "node3"):
        assert f"({name}) ended: nothing was heard from its machine" in ended.text
        assert f"host {name} answers" not in ended.text
    # The job may end before the second one is asked.
    assert "host node2 cannot be reached by ssh" in ended.text

    seen = Finished(ended.code, ended.text, read_records(folder))
    check_worlds(seen, [3, 2, 1])
    assert [starts(seen)[world][0]["start"] for world in (1, 2, 3)] == [0, 2, 2]  # from the last commit
    check_images(seen, IMAGES, [max(lasting_steps(seen)) + 1])

    frozen.thaw()
    unplugged.cable("up")
    assert cluster.left_over(60) == []
