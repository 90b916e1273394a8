"""scripts/train_ec2_cluster.sh: its arguments, and a job on hosts of a file. tests/cluster has what launches it."""

import os
import pathlib
import subprocess

import pytest

from tests.training.tiny_run import QUICK, make_records, write_config

REPOSITORY = pathlib.Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts" / "train_ec2_cluster.sh"


def run(folder, *arguments, **variables):
    """(exit code, stdout, lines of stderr)."""
    done = subprocess.run(
        [SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **variables},
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.strip().splitlines()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "usage: "),
        (["h1:8,h2:8"], "usage: "),
        (["h1:8,h2:8", "nowhere.py"], "config file nowhere.py does not exist"),
        (["h1:8,h2:8", "/tmp"], "config file /tmp is a folder; name a file in it"),
        (["h1:8,h2:8", "c.py", "--outptu=x"], "unknown argument --outptu=x"),
        (["h1", "c.py"], "h1 has no number of processes"),
        (["hosts.txt", "c.py"], "hosts.txt"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, message):
    (tmp_path / "c.py").touch()
    code, out, said = run(tmp_path, *arguments)
    assert code == 2 and not out and len(said) == 1 and message in said[0], said


def test_flags_of_the_launcher(tmp_path):
    (tmp_path / "c.py").touch()
    code, _, said = run(tmp_path, "h1:1", "c.py", AWSDET_LAUNCH_FLAGS="--engine=gloo --interface=nope0")
    assert code == 2 and len(said) == 1 and "no network interface nope0" in said[0], said


def test_hosts_of_a_file_train(tmp_path):
    config = write_config(tmp_path / "tiny.py", make_records(tmp_path, train_images=4))
    (tmp_path / "hosts").write_text("# two names of this machine\nlocalhost slots=1\n127.0.0.1:1\n")
    settings = [f"--config.{setting}" for setting in (*QUICK, "train.epochs=1")]
    code, out, said = run(tmp_path, "hosts", config, *settings, AWSDET_LAUNCH_FLAGS="--interface=lo --lost-seconds=60")
    text = "\n".join([out, *said])
    assert code == 0 and "[localhost:0] " in text and "2 per process x 2 processes" in text, text
    assert (tmp_path / "runs" / "tiny" / "checkpoints" / "step-00000001" / "checkpoint.json").is_file()
