"""A run that was killed and resumed ends like one that was not."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

REPOSITORY = pathlib.Path(__file__).parents[2]

# `awsdet train`, killed by SIGKILL when step 5 is logged, two steps after a checkpoint that is already on disk.
KILLED = """
import os, signal, sys, time
from awsdet.cli.main import main
from awsdet.training.run_folder import RunFolder

write = RunFolder.log

def write_and_die(self, record):
    write(self, record)
    if record["step"] == 5:
        while self.checkpoints.newest() is None:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

RunFolder.log = write_and_die
sys.exit(main(sys.argv[1:]))
"""


def start_training(program, config_file, output, *arguments):
    """Starts `awsdet train` of six steps in its own process."""
    settings = {
        "train.deterministic": "true",
        "train.evaluate_every_epochs": 0,
        "train.max_steps": 6,
        "train.checkpoint_every_steps": 3,
        "train.accumulate_steps": 2,  # step 3 lies between two updates
        "optimizer.ema_decay": 0.9,
        "data.batch_size": 1,  # an epoch has six steps, so step 3 lies in its middle
    }
    overrides = [f"--config.{key}={value}" for key, value in settings.items()]
    command = [
        sys.executable,
        *program,
        "train",
        f"--config={config_file}",
        f"--output={output}",
        *overrides,
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def saved_state(folder):
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-00000006" / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def losses(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records]


def test_six_steps_are_three_a_kill_and_three(config_file, tmp_path):
    """Weights, momentum, averages, accumulated gradients, counters: bit for bit, from three processes."""
    plain = ["-m", "awsdet.cli.main"]
    killed = start_training(["-c", KILLED], config_file, tmp_path / "killed")
    whole = start_training(plain, config_file, tmp_path / "whole")
    said = killed.communicate(timeout=300)[0]
    assert killed.returncode == -9, said
    assert [step for step, _ in losses(tmp_path / "killed")] == [1, 2, 3, 4, 5]
    resumed = start_training(plain, config_file, tmp_path / "killed", "--resume")
    said = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, said
    assert "step-00000003 at step 3" in said
    said = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, said

    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    wanted, found = saved_state(tmp_path / "whole"), saved_state(tmp_path / "killed")
    assert wanted.keys() == found.keys()
    assert all(any(name.endswith(end) for name in wanted) for end in ("/average", "/momentum", "/accumulated"))
    different = [name for name in wanted if not np.array_equal(wanted[name], found[name])]
    assert not different
    # The test would notice a difference: the last steps changed nearly all variables.
    reader = tf.train.load_checkpoint(str(tmp_path / "killed" / "checkpoints" / "step-00000003" / "state"))
    assert sum(np.array_equal(wanted[name], reader.get_tensor(name)) for name in wanted) < len(wanted) / 2
