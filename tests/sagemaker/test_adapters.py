"""The SDKs send what awsdet itself sends: each real SDK starts the job in an environment of its own, at moto's AWS."""

import functools
import json
import os
import subprocess

import pytest

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import adapters
from tests.sagemaker.aws import CREDENTIALS, ROOT, SDK_SETTINGS, sdk_python

JOBS = {
    "smallest": {},
    "spot with everything": {
        "val": "s3://bucket/val",
        "weights": "s3://bucket/w.npz",
        "config": "mine.py",
        "config_file": "s3://bucket/mine.py",
        "checkpoints": "s3://bucket/checkpoints",
        "instances": 4,
        "settings": {"data.batch_size": "4", "train.log_metrics": "true", "data.short_sides": "640,800"},
        "spot": True,
        "max_hours": 1.5,
        "max_wait_hours": 3,
        "volume_gb": 300,
        "input_mode": "FastFile",
        "tensorboard": "s3://bucket/tensorboard",
        "subnets": ["subnet-1"],
        "security_groups": ["sg-1"],
        "environment": {"NCCL_DEBUG": "INFO"},
        "name": "mine-2",
    },
    "warm pool": {"keep_alive_minutes": 30, "name": "mine-3"},
}
# What an SDK adds unasked, by its version; it changes nothing for our container.
ADDED = {2: {"ProfilerConfig": {"DisableProfiler": True}}, 3: {}}


@functools.cache
def sent_by(version):
    """What tests/sagemaker/sdk_request.py prints for all JOBS in the environment of an SDK, by their names."""
    environment = {**os.environ, **CREDENTIALS, **SDK_SETTINGS, "PYTHONPATH": str(ROOT)}
    command = [sdk_python(version), "tests/sagemaker/sdk_request.py", json.dumps(list(JOBS.values()))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(JOBS, json.loads(done.stdout.splitlines()[-1])))


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("version", ["v2", "v3"])
def test_the_sdk_sends_our_request(version, name):
    result = sent_by(version)[name]
    sent, ours = result["sent"], {**result["ours"], **ADDED[result["sdk"]]}
    assert version == f"v{result['sdk']}"
    if version == "v3":
        assert sent.pop("TrainingJobName").startswith(f"{ours.pop('TrainingJobName')}-")  # and the time
        assert sent["OutputDataConfig"].pop("CompressionType") == "GZIP"  # the service's default
    # The service's own defaults may be left out.
    for request in (sent, ours):
        if request.get("EnableManagedSpotTraining") is False:
            del request["EnableManagedSpotTraining"]
    assert sent == ours


def test_without_an_sdk():
    with pytest.raises(UserError, match="pip install sagemaker"):
        adapters.sdk_version()


FIND = "import sagemaker, {module}; print(sagemaker.__path__[0], {module}.__file__, sep='\\n')"


@pytest.mark.parametrize("folder", [".", "sagemaker"])
@pytest.mark.parametrize("version, module", [("v2", "sagemaker.estimator"), ("v3", "sagemaker.train.model_trainer")])
def test_the_folder_of_the_repository_does_not_hide_the_sdk(version, module, folder):
    """It has the SDK's name; Python prefers the SDK because the folder is no package."""
    python = sdk_python(version)
    command = [python, "-c", FIND.format(module=module)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT / folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    inside = str(python.parents[1])
    assert all(line.startswith(inside) for line in done.stdout.splitlines()[-2:]), done.stdout


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_no_file_has_the_name_of_a_module_of_the_sdk(version):
    """Version 3 looks for its modules in every folder called sagemaker on the path, so in ours too."""
    own = {path.stem for path in (ROOT / "sagemaker").iterdir() if path.suffix in (".py", "")} - {"__pycache__"}
    assert "__init__" not in own and "launch" in own
    package = next(sdk_python(version).parents[1].glob("lib/python3*/site-packages/sagemaker"))
    assert not own & {path.stem for path in package.iterdir()}
