"""One cluster of two hosts for all tests of a test process, repaired after each of them.

Its hosts are sets of namespaces, or addresses of this machine if namespaces are not allowed or AWSDET_TEST_HOSTS=ports.
"""

import os
import pathlib
import shutil
import sys

import pytest

from tests.cluster import hosts, ports
from tests.cluster.jobs import ROOT
from tests.training.tiny_run import make_records, write_config


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory):
    kind = ports.PortCluster if os.environ.get("AWSDET_TEST_HOSTS") == "ports" or hosts.missing() else hosts.Cluster
    if kind is ports.PortCluster and ports.missing():
        pytest.skip(ports.missing())
    with kind(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster):
    yield running_cluster
    running_cluster.repair()


@pytest.fixture
def separate_cluster(cluster):
    """For tests of what only hosts with a network and with files of their own have."""
    if not cluster.is_separate:
        pytest.skip(hosts.missing() or "the hosts share network and files (AWSDET_TEST_HOSTS=ports)")
    return cluster


@pytest.fixture(scope="session")
def config_file(tmp_path_factory):
    """A tiny detector and records of its own, on the shared disk."""
    folder = tmp_path_factory.mktemp("data")
    return write_config(folder / "tiny.py", make_records(folder, train_images=16, val_images=4))


@pytest.fixture(params=["gloo", "mpi"])
def engine(request):
    """(name of the engine, Python whose Horovod has it)."""
    return request.param, python_for(request.param)


def python_for(engine):
    """The Python whose Horovod works under an engine; skips the test if there is none."""
    if engine == "gloo":
        return sys.executable
    overlay = ROOT / ".venv-mpi" / "bin" / "python"
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun (scripts/ci_packages.sh installs it)")
    if overlay.exists():
        return str(overlay)
    # Without the overlay, .venv itself may have been built with MPI. Asking it costs an import of TensorFlow.
    stamp = pathlib.Path(sys.prefix, "awsdet-setup", "horovod")
    if stamp.exists() and "no MPI" not in stamp.read_text():
        return sys.executable
    pytest.skip("no Horovod with MPI (scripts/setup.sh mpi makes one)")
