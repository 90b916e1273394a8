"""SageMaker's own training toolkit (4.x) starts our entry point, from an environment of its own.

That is what SDK v2 does with `entry_point="entry.py"`: the toolkit reads /opt/ml, sets the variables SM_…, and runs
the script with its own Python and the hyper-parameters as arguments. The toolkit is installed by
scripts/setup_test_environments.sh; without it the test is skipped.
"""

import os
import shutil
import subprocess
import sys

import pytest

from tests.environments import environment
from tests.sagemaker.fake_jobs import QUICK, REPOSITORY, SAGEMAKER, failure_of, job_environment, make_job
from tests.training.tiny_run import make_records, write_config


@pytest.fixture(scope="module")
def toolkit():
    """Folder of the toolkit's environment."""
    return environment("sagemaker-toolkit")


def run_toolkit(toolkit, folder, settings, **channels):
    """A job through the toolkit's command `train`. Returns (exit code, log, the tree)."""
    code = folder / "code"
    shutil.copytree(SAGEMAKER, code, ignore=shutil.ignore_patterns("__pycache__"))
    encoded = {name: f'"{value}"' for name, value in settings.items()}  # as SDK v2's framework estimators do
    encoded |= {"sagemaker_program": '"entry.py"', "sagemaker_submit_directory": f'"{code}"', "model_dir": '"s3://x/m"'}
    root = make_job(folder / "ml", encoded, channels, hosts=("localhost",), current="localhost")
    ours = folder / "python"
    ours.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} "$@"\n')
    ours.chmod(0o755)
    environment = job_environment(
        SAGEMAKER_BASE_DIR=root,
        AWSDET_SM_ROOT=root,
        AWSDET_PYTHON=ours,
        AWSDET_HOME=REPOSITORY,
        PYTHONPATH="",
        PATH=f"{toolkit}/bin:{os.environ['PATH']}",
    )
    done = subprocess.run(
        [f"{toolkit}/bin/train"],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, root


def test_the_toolkit_starts_a_whole_job(tmp_path, toolkit):
    make_records(tmp_path)
    (tmp_path / "config").mkdir()
    write_config(tmp_path / "config" / "tiny.py", "")
    settings = {"config": "tiny.py", **QUICK, "train.epochs": "1"}
    code, log, root = run_toolkit(toolkit, tmp_path, settings, train=tmp_path / "records", config=tmp_path / "config")
    assert code == 0, log
    assert "Invoking user script" in log  # the toolkit's own word
    assert "arguments left out; hyperparameters.json says the same" in log
    assert "awsdet_metric step=3 " in log and (root / "model" / "weights.safetensors").is_file()


def test_the_toolkit_reports_a_mistake_of_the_user(tmp_path, toolkit):
    (tmp_path / "config").mkdir()
    write_config(tmp_path / "config" / "tiny.py", "")
    settings = {"config": "tiny.py", "data.batch_sise": "4"}
    code, log, root = run_toolkit(toolkit, tmp_path, settings, train=tmp_path / "config", config=tmp_path / "config")
    assert code != 0 and "did you mean data.batch_size?" in log
    assert failure_of(root)  # the toolkit writes its own, which holds the exit code
