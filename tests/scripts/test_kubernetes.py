"""scripts/kubernetes: the manifests follow the schemas of the MPI operator and of Kubernetes; their scripts work."""

import copy
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml
from absl import flags

from awsdet.cli import launch
from awsdet.cli.arguments import parse
from awsdet.launch.discovery import present_hosts, wait_for_hosts
from awsdet.launch.hosts import Host, parse_hosts
from tests.scripts.kubernetes_schema import faults, schemas

FOLDER = pathlib.Path(__file__).parents[2] / "scripts" / "kubernetes"
FILES = ("train-mpijob.yaml", "train-elastic-mpijob.yaml")
KNOWN = schemas()


@pytest.fixture(params=FILES)
def text(request):
    return (FOLDER / request.param).read_text()


@pytest.fixture
def job(text):
    return yaml.safe_load(text)


def pods(job):
    return {role: spec["template"]["spec"] for role, spec in job["spec"]["mpiReplicaSpecs"].items()}


def test_manifests_follow_the_schemas(job):
    assert faults(job, KNOWN["MPIJob"], KNOWN) == []


WORKER = ("spec", "mpiReplicaSpecs", "Worker")
CONTAINER = (*WORKER, "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    "path, value, fault",
    [
        (("spec", "slotPerWorker"), 8, "manifest.spec: slotPerWorker does not exist"),
        (("spec", "slotsPerWorker"), "8", "manifest.spec.slotsPerWorker: '8' is not of type integer"),
        (("spec", "launcherCreationPolicy"), "WaitForWorkers", "is not one of AtStartup, WaitForWorkersReady"),
        (("spec", "runPolicy", "cleanPodPolicy"), None, "cleanPodPolicy: None is not of type string"),
        (("spec", "mpiReplicaSpecs", "Workers"), {}, "mpiReplicaSpecs: Workers does not exist"),
        ((*WORKER, "restartPolicy"), "OnError", "'OnError' is not one of Always, OnFailure, Never"),
        ((*CONTAINER, "volumeMount"), [], "containers[0]: volumeMount does not exist"),
        ((*CONTAINER, "command"), "sshd", "containers[0].command: 'sshd' is not of type array"),
        ((*CONTAINER, "resources", "limits", "memory"), ["1Gi"], "limits.memory: ['1Gi'] is not of type string"),
        ((*CONTAINER, "readinessProbe", "tcpSocket"), {"prt": 22}, "tcpSocket: prt does not exist"),
    ],
)
def test_faults_are_found(job, path, value, fault):
    """The schemas would notice a mistake in the manifests."""
    changed = copy.deepcopy(job)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    found = faults(changed, KNOWN["MPIJob"], KNOWN)
    assert any(fault in line for line in found), found


def test_numbers_of_the_manifests_agree(job, text):
    launcher, worker = pods(job)["Launcher"], pods(job)["Worker"]
    limits = worker["containers"][0]["resources"]["limits"]
    slots = job["spec"]["slotsPerWorker"]
    assert limits["nvidia.com/gpu"] == slots
    assert {"vpc.amazonaws.com/efa", "hugepages-2Mi", "memory"} <= set(limits)
    # Only the discovery script prints hosts without numbers; the host file has its own.
    assert re.findall(r"--slots=(\d+)", text) == ([str(slots)] if "--elastic" in text else [])
    stop = int(re.search(r"--stop-seconds=(\d+)", text)[1])
    for pod in (launcher, worker):
        assert pod["terminationGracePeriodSeconds"] >= max(120, stop + 30)
    (image,) = {pod["containers"][0]["image"] for pod in (launcher, worker)}
    assert image == "REGISTRY/awsdet:TAG"
    assert worker["containers"][0]["readinessProbe"]  # or the launcher would wait for ever
    for pod in (launcher, worker):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == set(volumes)
        assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == "awsdet-shared"
    assert {"name": "shm", "mountPath": "/dev/shm"} in worker["containers"][0]["volumeMounts"]


def test_nothing_secret_is_in_the_files(text):
    assert not re.search(r"secret|password|token|AKIA|BEGIN|\b\d{12}\b|amazonaws\.com/[^e]", text, re.IGNORECASE)


# ----------------------------------------------------------------------------------------------- the launcher's script

# Notes its arguments, then does what the test says.
STUB = """\
#!/bin/bash
printf '%s\\n' "$@" >"$AWSDET_TEST_ARGUMENTS"
trap 'echo stopped; exit '"${AWSDET_TEST_STOPPED:-0}" TERM
echo started
[ -z "$AWSDET_TEST_WAIT" ] || { sleep 60 >/dev/null 2>&1 & wait; }
exit "${AWSDET_TEST_CODE:-0}"
"""


def start(job, folder, **variables):
    """Starts the launcher's script with a stand-in for awsdet; its run is in folder/run."""
    (program,) = pods(job)["Launcher"]["containers"][0]["args"]
    program, count = re.subn(r"(?m)^output=\S+", f"output={folder / 'run'}", program)
    assert count == 1
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "awsdet").write_text(STUB)
    (folder / "bin" / "awsdet").chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "AWSDET_TEST_WAIT": "", **variables}
    environment["AWSDET_TEST_ARGUMENTS"] = str(folder / "arguments")
    return subprocess.Popen(
        [*pods(job)["Launcher"]["containers"][0]["command"], program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_launcher_gets_flags_that_exist_and_resumes_from_a_checkpoint(job, tmp_path):
    process = start(job, tmp_path)
    assert process.communicate(timeout=30)[0] == "started\n" and process.returncode == 0
    name, *arguments = (tmp_path / "arguments").read_text().splitlines()
    own, command = launch.split(arguments)
    flag_values = flags.FlagValues()
    launch.define(flag_values)
    parse("launch", flag_values, own, launch.POSITIONAL)
    assert name == "launch" and command[0] == "train" and f"--output={tmp_path / 'run'}" in command
    assert "--resume" not in command
    if flag_values.elastic:
        assert flag_values.hosts is None and flag_values.hosts_from == "/etc/mpi/discover_hosts.sh"
        processes = flag_values.slots * job["spec"]["mpiReplicaSpecs"]["Worker"]["replicas"]
        assert flag_values.min <= processes <= flag_values.max
    else:
        assert flag_values.hosts == "/etc/mpi/hostfile" and flag_values.stop_seconds == 90

    step = tmp_path / "run" / "checkpoints" / "step-00000100"
    step.mkdir(parents=True)
    assert start(job, tmp_path).wait(30) == 0
    assert "--resume" not in (tmp_path / "arguments").read_text()  # a folder without its last file is no checkpoint
    (step / "checkpoint.json").touch()
    assert start(job, tmp_path).wait(30) == 0
    assert (tmp_path / "arguments").read_text().splitlines()[-1] == "--resume"


@pytest.mark.parametrize("code", [1, 2])
def test_launchers_exit_code_is_that_of_the_pod(job, tmp_path, code):
    assert start(job, tmp_path, AWSDET_TEST_CODE=str(code)).wait(30) == code


@pytest.mark.parametrize("ended_with, code", [(0, 143), (1, 1)])
def test_a_launcher_that_was_stopped_is_not_complete(job, tmp_path, ended_with, code):
    """SIGTERM is passed on. Exit code 0 of a run that only saved must not let the job count as complete."""
    process = start(job, tmp_path, AWSDET_TEST_WAIT="yes", AWSDET_TEST_STOPPED=str(ended_with))
    deadline = time.monotonic() + 30
    while process.stdout.readline() != "started\n":
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[0] == "stopped\n"
    assert process.returncode == code


# ------------------------------------------------------------------------------------------------ the worker's script


@pytest.fixture
def worker(job):
    """The worker's script with a real sshd, as process 1 of a namespace with its own network: (process, its id)."""
    namespace = ["unshare", "--pid", "--net", "--mount-proc", "--fork", "--kill-child"]
    if not all(map(os.path.exists, ("/usr/sbin/sshd", "/usr/bin/unshare", "/usr/bin/nsenter"))):
        pytest.skip("needs sshd, unshare and nsenter")
    if subprocess.run([*namespace, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip("needs the right to make namespaces")
    container = pods(job)["Worker"]["containers"][0]
    process = subprocess.Popen(
        [*namespace, *container["command"], *container["args"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said(process, "Server listening on 0.0.0.0 port 22.")
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield process, int(children[0])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def said(process, text):
    """Reads what a process prints until a line holds `text`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def test_a_worker_that_is_stopped_waits_for_its_ranks(worker):
    """They save meanwhile. When process 1 ends, they are killed."""
    process, first = worker
    program = [
        sys.executable,
        "-c",
        "import time; print('up', flush=True); time.sleep(300)",
        "-m",
        "awsdet.launch.rank",
    ]
    inside = ["nsenter", f"--target={first}", "--pid", "--mount"]
    rank = subprocess.Popen([*inside, *program], stdout=subprocess.PIPE, text=True)
    try:
        said(rank, "up")
        os.kill(first, signal.SIGTERM)
        said(process, "worker: stopped; waiting until the ranks here have ended")
        assert process.poll() is None and rank.poll() is None
        pids = pathlib.Path(f"/proc/{rank.pid}/task/{rank.pid}/children").read_text().split()
        os.kill(int(pids[0]), signal.SIGKILL)  # as if it had saved and ended
        assert process.wait(30) == 0
    finally:
        rank.kill()
        rank.wait()
        rank.stdout.close()


def test_a_worker_without_ranks_ends_at_once(worker):
    process, first = worker
    os.kill(first, signal.SIGTERM)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 0 and "waiting until" not in output


def test_a_worker_whose_sshd_fails_is_started_again(worker):
    """Its exit code is not 0, so that Kubernetes does so."""
    process, first = worker
    (sshd,) = pathlib.Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(int(sshd), signal.SIGKILL)
    assert process.wait(30) == 137


# ------------------------------------------------------------------------------------------ the operator's host files


def test_operators_host_file_is_understood(tmp_path):
    """It writes NAME-worker-N.NAME.NAMESPACE.svc slots=M for Open MPI (newConfigMap in mpi_job_controller.go)."""
    path = tmp_path / "hostfile"
    path.write_text("mask-rcnn-worker-0.mask-rcnn.ml.svc slots=8\nmask-rcnn-worker-1.mask-rcnn.ml.svc slots=8\n")
    names = [f"mask-rcnn-worker-{number}.mask-rcnn.ml.svc" for number in range(2)]
    assert parse_hosts(str(path)) == [Host(name, 8) for name in names]


def test_operators_discovery_script_is_understood(tmp_path):
    """It prints names without numbers (updateDiscoverHostsInConfigMap); while no worker runs, it prints nothing."""
    path = tmp_path / "discover_hosts.sh"
    path.write_text("#!/bin/sh\necho a-worker-0.a.ml.svc\necho a-worker-1.a.ml.svc\n")
    path.chmod(0o555)
    workers = [Host("a-worker-0.a.ml.svc", 8), Host("a-worker-1.a.ml.svc", 8)]
    assert present_hosts(str(path), 8) == workers

    path.chmod(0o755)
    path.write_text(f"#!/bin/sh\n[ ! -e {tmp_path}/again ] || echo a-worker-0.a.ml.svc\ntouch {tmp_path}/again\n")
    lines = []
    assert wait_for_hosts(str(path), 8, 8, 60, lines.append) == workers[:1]
    assert lines == ["waiting for hosts: 0 of at least 8 processes are there"]
