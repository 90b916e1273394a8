"""scripts/slurm/train.sbatch, on a real Slurm of two nodes that runs on this machine alone."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from awsdet.inference import checkpoint
from tests.scripts import slurm_cluster, ssh_daemon
from tests.training.tiny_run import QUICK, logged_lines, make_records, write_config

REPOSITORY = pathlib.Path(__file__).parents[2]
VENV = pathlib.Path(sys.executable).parents[1]
SCRIPT = REPOSITORY / "scripts" / "slurm" / "train.sbatch"
# A stand-in for `srun` with Pyxis: it runs on the node itself what should run in a container.
PYXIS = """\
#!/bin/bash
arguments=()
for argument in "$@"; do
    case $argument in
        --container-* | --no-container-*) echo "$argument" >>"$AWSDET_TEST_OPTIONS" ;;
        *) arguments+=("$argument") ;;
    esac
done
exec {srun} "${{arguments[@]}}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where jobs are submitted: it holds records and the config file tiny.py."""
    folder = tmp_path_factory.mktemp("slurm")
    write_config(folder / "tiny.py", make_records(folder, train_images=120))
    return folder


@pytest.fixture(scope="module")
def cluster(folder):
    """(Cluster, the variables for its jobs)."""
    absent = slurm_cluster.missing() or ssh_daemon.missing()
    if absent:
        pytest.skip(absent)
    daemon = ssh_daemon.SshDaemon(folder)
    try:
        cluster = slurm_cluster.Cluster()
        try:
            launch = f"--ssh-port={daemon.port} --ssh-identity={daemon.identity}"
            yield cluster, {"PYTHONPATH": str(REPOSITORY), "AWSDET_VENV": str(VENV), "AWSDET_LAUNCH_FLAGS": launch}
        finally:
            cluster.stop()
    finally:
        daemon.stop()


def saved_step(output):
    """The step of a run's newest checkpoint."""
    return int(checkpoint.newest(output / "checkpoints").name.removeprefix("step-"))


def steps(output):
    """The last step that a run has logged; 0 if it has not begun."""
    return logged_lines(output)[-1]["step"] if (output / "metrics.jsonl").is_file() and logged_lines(output) else 0


def test_a_run_survives_its_time_limit(cluster, folder):
    """Two nodes. USR1, as before the time limit: saved, requeued, resumed, completed."""
    cluster, variables = cluster
    output = folder / "run"
    command = ["--nodes=2", "--ntasks-per-node=1", SCRIPT, "tiny.py", f"--output={output}"]
    command += [f"--config.{setting}" for setting in (*QUICK, "train.epochs=4")]
    job = cluster.submit(folder, *command, **variables)
    job.wait(lambda job: steps(output) >= 3)
    job.signal("USR1")
    job.wait(lambda job: "job goes on from its newest checkpoint" in job.said())
    saved = saved_step(output)
    assert 3 <= saved < 120 and f"stopped by SIGTERM and saved at step {saved}" in job.said()

    assert job.end() == ("COMPLETED", 0), job.said()
    said = job.said()
    for number in (1, 2):
        assert f"job {job.number}, start {number}, on 127.0.0.1:1,127.0.0.2:1" in said
    assert f"resumed from {output}/checkpoints/step-{saved:08}" in said, said
    assert "is 127.0.0.1: instance " in said and "is 127.0.0.2: instance " in said
    assert [line["step"] for line in logged_lines(output) if "loss" in line] == list(range(1, 121))
    assert job.facts()["Restarts"] == "1"


def test_scancel_ends_a_job_for_good(cluster, folder):
    """It leaves no process behind, and the job does not requeue itself."""
    cluster, variables = cluster
    mark = folder / "cancelled.json"
    arguments = ["--nodes=2", "--ntasks-per-node=1", SCRIPT, "selftest", "--rounds=10000", f"--json={mark}"]
    job = cluster.submit(folder, *arguments, **variables)
    job.wait(lambda job: _processes(mark) >= 4)  # the launcher, and the ranks
    assert cluster.run("scancel", job.number).returncode == 0
    assert job.end()[0] == "CANCELLED"
    job.wait(lambda job: "cancelled, with exit code" in job.said() and not _processes(mark), 60)
    assert job.facts()["Restarts"] == "0" and not cluster.run("squeue", "-h").stdout.strip()


def _processes(path):
    """How many processes have a path on their command line."""
    found = subprocess.run(["pgrep", "-c", "-f", str(path)], capture_output=True, text=True, check=False)
    return int(found.stdout)


def test_a_users_mistake_ends_the_job_with_code_2(cluster, folder):
    cluster, variables = cluster
    (folder / "broken.py").write_text("def get_config():\n    raise RuntimeError('this config breaks')\n")
    one = ["--nodes=1", "--ntasks-per-node=1"]
    job = cluster.submit(folder, *one, SCRIPT, "--config=broken.py", "--output=x", **variables)
    assert job.end() == ("FAILED", 2), job.said()
    assert "RuntimeError: this config breaks" in job.said() and "ended with exit code 2" in job.said()
    assert job.facts()["Restarts"] == "0"


def test_containers_talk_through_an_sshd_of_their_own(cluster, folder, tmp_path):
    """With Pyxis' options taken away, since neither Pyxis nor enroot is here. The job also fails, as it should."""
    cluster, variables = cluster
    shim = tmp_path / "srun"
    shim.write_text(PYXIS.format(srun=shutil.which("srun")))
    shim.chmod(0o755)
    options = tmp_path / "options"
    variables = {
        "PYTHONPATH": variables["PYTHONPATH"],
        "PATH": f"{tmp_path}:{VENV}/bin:{cluster.environment['PATH']}",
        "AWSDET_IMAGE": "/shared/awsdet.sqsh",
        "AWSDET_SSH_PORT": str(slurm_cluster.free_ports(1)[0]),
        "AWSDET_TEST_OPTIONS": str(options),
    }
    arguments = ["--nodes=2", "--ntasks-per-node=1", SCRIPT, "selftest", "--rounds=1", "--least-bandwidth=1e6"]
    job = cluster.submit(folder, *arguments, f"--json={tmp_path / 'o.json'}", **variables)
    assert job.end() == ("FAILED", 1), job.said()
    assert "below the 1e+06 GB/s of --least-bandwidth" in job.said() and job.facts()["Restarts"] == "0"
    assert len(json.loads((tmp_path / "o.json").read_text())["ranks"]) == 2
    used = options.read_text().splitlines()
    assert used.count("--container-image=/shared/awsdet.sqsh") == 2 and f"--container-mounts={folder}:{folder}" in used
    assert not list(folder.glob(".awsdet-ssh-*"))  # the job's keys are gone


# ---------------------------------------------------------------------------------------------- without a running Slurm


STUBS = {
    "awsdet": 'echo "awsdet $*"; env | grep -E "^(FI|NCCL)_" | sort',
    "scontrol": "echo a-1; echo a-2; echo b-7",
    "srun": "exit 1",
}


def start(tmp_path, *arguments, stubs=STUBS, **variables):
    """Runs the script with stand-ins for awsdet, scontrol and srun. Returns (exit code, lines)."""
    (tmp_path / "bin").mkdir()
    for name, body in stubs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    ours = ("SLURM", "AWSDET", "FI_", "NCCL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "a-[1-2],b-7", "SLURM_TASKS_PER_NODE": "8(x2),4"}
    environment = {**kept, **slurm, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", SCRIPT, *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    "arguments, variables, message",
    [
        ([], {}, "CONFIG and --output=DIR are needed"),
        (["c.py"], {}, "CONFIG and --output=DIR are needed"),
        (["--output=x"], {}, "CONFIG and --output=DIR are needed"),
        (["--config=none.py", "--output=x"], {}, "config file none.py does not exist in "),
        (["--config=/tmp", "--output=x"], {}, "config file /tmp is a folder; name a file in it"),
        (["--config", "c.py", "--output=x"], {}, "write --config=VALUE, with an equals sign"),
        (["trian", "c.py", "--output=x"], {}, "unexpected argument c.py"),
        (["selftest", "c.py"], {}, "unexpected argument c.py"),
        (["trian", "--output=x"], {}, "config file trian does not exist in "),
        (["--config=c.py", "--output=x", "stray"], {}, "unexpected argument stray"),
        (["--config=c.py", "--output=x"], {"AWSDET_VENV": "/nowhere"}, "AWSDET_VENV=/nowhere holds no bin/awsdet"),
        (["--config=c.py", "--output=x"], {"SLURM_JOB_ID": ""}, "this is a job for Slurm; usage: sbatch "),
        (["--config=c.py", "--output=x"], {"SLURM_TASKS_PER_NODE": "8"}, "are 3 nodes, '8' are 1"),
        (["selftest"], {"AWSDET_SSH_SECONDS": "soon"}, "AWSDET_SSH_SECONDS=soon is not a number of seconds"),
        (["selftest"], {"AWSDET_SSH_PORT": "ssh"}, "AWSDET_SSH_PORT=ssh is not a port; give a number such as 2222"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, variables, message):
    (tmp_path / "c.py").touch()
    code, lines = start(tmp_path, *arguments, **variables)
    assert code == 2 and len(lines) == 1 and lines[0].startswith("train.sbatch: ") and message in lines[0], lines


def test_nodes_and_flags_reach_the_launcher(tmp_path):
    (tmp_path / "c.py").touch()
    arguments = ["--config=c.py", "--output=x", "--config.train.epochs", "3", "--resume"]
    code, lines = start(tmp_path, *arguments, AWSDET_LAUNCH_FLAGS="--engine=mpi --interface=ens5")
    assert code == 0
    command = "awsdet launch --engine=mpi --interface=ens5 a-1:8,a-2:8,b-7:4 train --config=c.py --output=x"
    assert f"{command} --config.train.epochs 3" in lines  # there is no checkpoint yet, so --resume would be refused
    assert "train.sbatch: the nodes' instances could not be read; going on" in lines
    assert any("no EFA on " in line for line in lines) and not any(line.startswith("FI_") for line in lines)
    step = tmp_path / "x[1]" / "checkpoints" / "step-00000005"
    step.mkdir(parents=True)
    command = "train --config=c.py --output=x[1] --config.train.epochs=3"
    for resume in ("", " --resume"):  # a folder without its last file is not a checkpoint
        shutil.rmtree(tmp_path / "bin")
        _, lines = start(tmp_path, "c.py", "--output=x[1]", "--config.train.epochs=3")
        assert any(line.endswith(command + resume) for line in lines), lines
        (step / "checkpoint.json").touch()


@pytest.mark.parametrize("variables, provider", [({}, "efa"), ({"FI_PROVIDER": "tcp"}, "tcp")])
def test_efa_is_used_where_it_is_and_the_users_choice_stays(tmp_path, variables, provider):
    (tmp_path / "drivers" / "efa").mkdir(parents=True)
    device = tmp_path / "class" / "infiniband" / "rdmap0s6" / "device"
    device.mkdir(parents=True)
    (device / "driver").symlink_to(tmp_path / "drivers" / "efa")
    code, lines = start(tmp_path, "selftest", AWSDET_SYS=str(tmp_path), **variables)
    assert code == 0 and "awsdet launch a-1:8,a-2:8,b-7:4 selftest" in lines
    assert f"FI_PROVIDER={provider}" in lines and "FI_EFA_FORK_SAFE=1" in lines


# What srun does in the container mode: one call holds the sshds, the other runs the launcher.
CONTAINERS = """\
case "$*" in
    *" sshd "*) {sshd} ;;
    *" launcher "*) echo "launched $*" ;;
esac
"""


def start_containers(tmp_path, sshd, nodes=("127.0.0.1", "127.0.0.2"), **variables):
    stubs = {**STUBS, "scontrol": "; ".join(f"echo {node}" for node in nodes), "srun": CONTAINERS.format(sshd=sshd)}
    variables = {"AWSDET_IMAGE": "/i.sqsh", "SLURM_TASKS_PER_NODE": f"1(x{len(nodes)})", **variables}
    return start(tmp_path, "selftest", stubs=stubs, **variables)


@pytest.fixture
def banners():
    """Listens as an sshd does: a port of 127.0.0.1, and the words that it says first."""
    listener = socket.create_server(("127.0.0.1", 0))
    words = [b"SSH-2.0-OpenSSH_9.2\r\n"]

    def greet():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.sendall(words[0])
                connection.close()

    threading.Thread(target=greet, daemon=True).start()
    yield str(listener.getsockname()[1]), words
    listener.close()


needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


@needs_ssh_keygen
def test_the_launcher_starts_once_every_container_answers(tmp_path, banners):
    code, lines = start_containers(tmp_path, "exec sleep 60", ["127.0.0.1"], AWSDET_SSH_PORT=banners[0])
    assert code == 0, lines
    assert any(line.startswith("launched --nodes=1 ") for line in lines), lines
    (command,) = [line for line in lines if line.endswith(" 127.0.0.1:1 selftest")]
    assert f" launcher awsdet launch --ssh-port={banners[0]} --ssh-identity=" in command


@needs_ssh_keygen
def test_a_container_that_does_not_answer_is_named(tmp_path, banners):
    """The first node answers, the second refuses."""
    code, lines = start_containers(tmp_path, "exec sleep 60", AWSDET_SSH_PORT=banners[0], AWSDET_SSH_SECONDS="1")
    message = f"train.sbatch: the sshd on 127.0.0.2 has not answered on port {banners[0]} for 1 s (AWSDET_SSH_SECONDS)"
    assert code == 1 and message in lines and not any("launched" in line for line in lines), lines
    assert lines[-1] == "train.sbatch: ended with exit code 1"
    assert not list(tmp_path.glob(".awsdet-ssh-*"))


@needs_ssh_keygen
def test_another_service_on_the_port_is_no_sshd(tmp_path, banners):
    banners[1][0] = b"220 mail\r\n"
    code, lines = start_containers(
        tmp_path, "exec sleep 60", ["127.0.0.1"], AWSDET_SSH_PORT=banners[0], AWSDET_SSH_SECONDS="1"
    )
    assert code == 1 and any("the sshd on 127.0.0.1 has not answered" in line for line in lines), lines


@needs_ssh_keygen
def test_containers_that_end_at_once_are_not_waited_for(tmp_path, banners):
    code, lines = start_containers(tmp_path, "echo no such image; exit 1", AWSDET_SSH_PORT=banners[0])
    assert code == 1 and "no such image" in lines, lines
    assert any("the containers have ended before the sshd on 127.0.0.2 answered on port" in line for line in lines)


@needs_ssh_keygen
def test_the_time_limit_is_near_while_containers_start(tmp_path, banners):
    """Nothing is started then, and the job goes back into the queue."""
    sshd = 'kill -USR1 "$PPID"; exec sleep 60'
    code, lines = start_containers(tmp_path, sshd, AWSDET_SSH_PORT=banners[0])
    assert code == 1
    assert "train.sbatch: SIGUSR1: the time limit is near, or the job is preempted; nothing has started yet" in lines
    assert any(line.startswith("train.sbatch: requeued: ") for line in lines), lines
    assert not any("launched" in line for line in lines)
