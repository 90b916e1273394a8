"""Jobs of two hosts: containers of namespaces with a real sshd, our launcher, and what SageMaker and chance do to them.

Each host is a container (see fake_jobs). A detector of a few thousand weights trains on both until the test is done.
"""

import json
import signal

import pytest

from tests.sagemaker.fake_jobs import QUICK, Cluster, make_job, need_containers, wait_until
from tests.training.tiny_run import make_records, write_config

HOSTS = ["algo-1", "algo-2"]
ENDLESS = {"train.epochs": "2000", "train.keep_last": "2"}
# A port of its own for sshd, as on SageMaker hosts that have one already.
ENVIRONMENT = {"AWSDET_SSH_PORT": 2222, "AWSDET_LOST_SECONDS": 20}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    need_containers()
    folder = tmp_path_factory.mktemp("data")
    make_records(folder)
    (folder / "config").mkdir()
    write_config(folder / "config" / "tiny.py", "")
    return folder


@pytest.fixture
def start(tmp_path, data):
    """start(hyper-parameters, hosts) -> Cluster, a context, whose hosts are not started yet."""

    def make(**settings):
        given = {"config": "tiny.py", **QUICK, **ENDLESS, **settings}
        channels = {"train": data / "records", "config": data / "config"}
        return Cluster(
            tmp_path / "cluster",
            HOSTS,
            lambda root, host: make_job(root, given, channels, HOSTS, host),
            **ENVIRONMENT,
        )

    return make


def train_until_checkpoint(cluster):
    """Waits for the first checkpoint, and for a line of metrics that was logged after it."""
    run = cluster.folder / "algo-1" / "checkpoints" / "run"
    metrics = run / "metrics.jsonl"
    wait_until(lambda: list(run.glob("checkpoints/step-*/checkpoint.json")) and metrics.stat().st_size > 0, cluster)


def newest_step(cluster):
    found = (cluster.folder / "algo-1/checkpoints/run/checkpoints").glob("step-*/checkpoint.json")
    return max(json.loads(path.read_text())["step"] for path in found)


def test_a_stop_reaches_all_ranks_and_the_job_goes_on(start):
    """SIGTERM to a host that does not lead; then the same job again, which loses that host."""
    with start() as cluster:
        cluster.start()
        train_until_checkpoint(cluster)
        cluster["algo-2"].signal(signal.SIGTERM)
        second, first = cluster["algo-2"].end(), cluster["algo-1"].end()
        assert (first.code, second.code) == (0, 0), first.log + second.log
        assert "algo-2 was told to stop" in first.log and "stopped by SIGTERM and saved at step" in first.log
        assert "2 per process x 2 processes" in first.log and not first.failure and not second.failure
        step = newest_step(cluster)
        assert f"saved at step {step}" in first.log
        assert (cluster.folder / "algo-1" / "model" / "weights.safetensors").is_file()
        assert not list((cluster.folder / "algo-2" / "model").iterdir())
        assert not list((cluster.folder / "algo-2" / "checkpoints").iterdir())  # only one host writes

        cluster.start()
        wait_until(lambda: f"awsdet_metric step={step + 1} " in cluster["algo-1"].log, cluster)
        assert f"resumed from /opt/ml/checkpoints/run/checkpoints/step-{step:08d}" in cluster["algo-1"].log
        cluster["algo-2"].kill()
        first = cluster["algo-1"].end()
        assert first.code == 1 and first.failure.startswith("host algo-2 vanished"), first.log
        assert "rank 1 (algo-2)" in first.failure


def test_a_first_host_that_vanishes_ends_the_others(start):
    with start() as cluster:
        cluster.start()
        train_until_checkpoint(cluster)
        ranks = [process for process in cluster["algo-2"].processes() if "awsdet.cli.main" in process.cmdline()]
        assert ranks
        cluster["algo-1"].kill()
        second = cluster["algo-2"].end()
        assert second.code == 1 and "the first host, algo-1, has vanished" in second.failure, second.log
        assert not any(process.is_running() for process in ranks)


def test_a_mistake_on_one_host_ends_all_with_its_reason(start):
    """algo-2 lacks the records. It ends with code 2, and so does the job."""
    with start() as cluster:
        cluster.start("algo-1")
        wait_until(lambda: "waiting for algo-2 (not heard of)" in cluster["algo-1"].log, cluster)
        make_bare = cluster.folder / "algo-2"
        cluster.make_tree("algo-2")
        for path in (make_bare / "input/data/train").iterdir():
            path.unlink()
        cluster.start("algo-2")
        ended = [cluster[host].end() for host in HOSTS]
        assert [end.code for end in ended] == [2, 2], ended[0].log
        assert all("channel train holds neither records nor" in end.failure for end in ended)
        assert ended[0].failure.startswith("algo-2: ")


def test_hosts_with_different_numbers_of_processes(start):
    """As when one of eight GPUs is broken: no smaller world is trained without a word."""
    with start() as cluster:
        cluster.start("algo-1", AWSDET_PROCESSES_PER_HOST=2)
        cluster.start("algo-2")
        ended = [cluster[host].end() for host in HOSTS]
        assert [end.code for end in ended] == [1, 1], ended[0].log
        assert all("algo-1 has 2, algo-2 has 1" in end.failure for end in ended)
