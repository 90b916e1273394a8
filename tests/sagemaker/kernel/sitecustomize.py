"""Makes a Python that finds this folder on PYTHONPATH believe that it talks to AWS: Python imports it when it starts.

The notebook runs unchanged in such a kernel. moto plays AWS. It does not train, so that is played here: a job that is
started leaves in the mocked S3 the archives of a real run, which the test has made before.

AWSDET_TEST_BUCKET: a bucket to make. AWSDET_TEST_ARCHIVES: folder with model.tar.gz and output.tar.gz.
AWSDET_TEST_REQUESTS: file that gets the arguments of each CreateTrainingJob, one JSON object per line.
AWSDET_TEST_PACKAGES: folder of installed packages, TensorFlow among them, that come after those beside the SDK.
"""

import importlib.util
import json
import os
import pathlib
import site


def _start():
    import boto3
    import botocore.handlers
    from moto import mock_aws

    mock_aws().start()
    # Every session that is made from now on, by whichever library, has this handler.
    botocore.handlers.BUILTIN_HANDLERS.append(("provide-client-params.sagemaker.CreateTrainingJob", _train))
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


if "AWSDET_TEST_BUCKET" in os.environ and importlib.util.find_spec("moto"):
    _start()
    site.addsitedir(os.environ["AWSDET_TEST_PACKAGES"])
