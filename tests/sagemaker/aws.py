"""What the tests of SageMaker's user side share: answers of the service, and moto, which plays AWS over HTTP."""

import contextlib
import datetime
import os
import pathlib
import subprocess
import sys

from tests.environments import environment
from tests.sagemaker.job import IMAGE, REGION

ROOT = pathlib.Path(__file__).parents[2]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
# Variables for the SageMaker SDKs: moto cannot simulate what a role may do, and tests do not report to AWS.
SDK_SETTINGS = {
    "SAGEMAKER_VALIDATE_ROLE": "false",
    "SAGEMAKER_USER_CONFIG_OVERRIDE": str(ROOT / "tests" / "sagemaker" / "sdk_defaults.yaml"),
}
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print("%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()  # until the tests close it
server.stop()
"""


def description(status="InProgress", detail="Training", name="mine-1", **more):
    """boto3's answer to describe_training_job; botocore's Stubber checks it against the service's model."""
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:111122223333:training-job/{name}",
        "ModelArtifacts": {"S3ModelArtifacts": f"s3://bucket/out/{name}/output/model.tar.gz"},
        "TrainingJobStatus": status,
        "SecondaryStatus": detail,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "ResourceConfig": {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 2, "VolumeSizeInGB": 100},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "CreationTime": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        **more,
    }


def sdk_python(version):
    """The Python of the environment with an SDK, "v2" or "v3". Skips the test if it was not made."""
    return environment(f"sagemaker-{version}") / "bin" / "python"


@contextlib.contextmanager
def moto_server():
    """A context with the environment variables for which boto3 talks to moto instead of AWS, as a dict."""
    command = [sdk_python("v2"), "-c", _SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        address = server.stdout.readline().strip()
        assert address, "moto did not start"
        try:
            yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{address}"}
        finally:
            server.stdin.close()
            server.wait(timeout=30)


def awsdet(*arguments, environment=(), folder=None, timeout=120):
    """Runs `awsdet ARGUMENTS` in a process of its own. Returns its CompletedProcess.

    The user's own AWS settings are kept away from it.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    nothing = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}
    nothing["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    return subprocess.run(
        [sys.executable, "-m", "awsdet.cli.main", *map(str, arguments)],
        env={**clean, **nothing, "PYTHONPATH": str(ROOT), **dict(environment)},
        cwd=folder or ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
