"""Makes a Python that finds this folder on PYTHONPATH believe that it talks to AWS: Python imports it when it starts.

The notebook runs unchanged in such a kernel. moto plays AWS. It neither trains nor serves, so that is played here: a
job that is started leaves in the mocked S3 the archives of a real run, which the test has made before, and an endpoint
answers ANSWER. (tests/sagemaker/test_entry_serve.py asks the real server.)

AWSDET_TEST_BUCKET: a bucket to make. AWSDET_TEST_ARCHIVES: folder with model.tar.gz and output.tar.gz.
AWSDET_TEST_REQUESTS: file that gets the arguments of each CreateTrainingJob, one JSON object per line. The same name
    with .endpoint gets those of requests about endpoints, with the operation's name; of a body, its length.
AWSDET_TEST_PACKAGES: folder of installed packages, TensorFlow among them, that come after those beside the SDK.
"""

import importlib.util
import json
import os
import pathlib
import site

ANSWER = {"predictions": [{"count": 1, "class_names": ["star"], "scores": [0.875], "boxes": [[1.0, 2.0, 30.5, 40.0]]}]}
_OF_ENDPOINTS = (
    *("sagemaker.CreateModel", "sagemaker.CreateEndpointConfig", "sagemaker.CreateEndpoint"),
    *("sagemaker-runtime.InvokeEndpoint",),
    *("sagemaker.DeleteEndpoint", "sagemaker.DeleteEndpointConfig", "sagemaker.DeleteModel"),
)


def _start():
    import boto3
    import botocore.handlers
    from moto import mock_aws
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sagemakerruntime.models import sagemakerruntime_backends

    mock_aws().start()
    # Every session that is made from now on, by whichever library, has this handler.
    botocore.handlers.BUILTIN_HANDLERS.append(("provide-client-params.sagemaker.CreateTrainingJob", _train))
    for operation in _OF_ENDPOINTS:
        botocore.handlers.BUILTIN_HANDLERS.append((f"provide-client-params.{operation}", _note))
    runtime = sagemakerruntime_backends[DEFAULT_ACCOUNT_ID][os.environ["AWS_DEFAULT_REGION"]]
    runtime.results_queue.append((json.dumps(ANSWER), "application/json", "all", ""))
    boto3.client("s3").create_bucket(Bucket=os.environ["AWSDET_TEST_BUCKET"])
    boto3.client("iam").create_role(RoleName="Training", AssumeRolePolicyDocument="{}")


def _train(params, **_):
    """What the service does with a job: it leaves its archives below the output address."""
    import boto3

    with open(os.environ["AWSDET_TEST_REQUESTS"], "a") as file:
        file.write(json.dumps(params) + "\n")
    bucket, _, key = params["OutputDataConfig"]["S3OutputPath"].removeprefix("s3://").partition("/")
    for archive in pathlib.Path(os.environ["AWSDET_TEST_ARCHIVES"]).iterdir():
        name = f"{key}/{params['TrainingJobName']}/output/{archive.name}"
        boto3.client("s3").upload_file(str(archive), bucket, name)


def _note(params, model, **_):
    """Notes a request about an endpoint. Returns its arguments for moto, which takes no bodies but text."""
    shown = {name: len(value) if isinstance(value, bytes) else value for name, value in params.items()}
    with open(f"{os.environ['AWSDET_TEST_REQUESTS']}.endpoint", "a") as file:
        file.write(json.dumps({"operation": model.name, **shown}) + "\n")
    return {**params, "Body": b"an image"} if "Body" in params else None


if "AWSDET_TEST_BUCKET" in os.environ and importlib.util.find_spec("moto"):
    _start()
    site.addsitedir(os.environ["AWSDET_TEST_PACKAGES"])
