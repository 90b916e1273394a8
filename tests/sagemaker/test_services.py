"""What the user reads if AWS says no, or does not answer."""

import boto3
import botocore.exceptions as faults
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import services
from awsdet.sagemaker.services import Absent, ServiceFailure, explained
from tests.sagemaker.aws import CREDENTIALS
from tests.sagemaker.job import REGION


def answer(code, message="no", status=400):
    """The error that boto3 raises for an answer of the service."""
    client = boto3.client("sagemaker", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        stubber.add_client_error("describe_training_job", code, message, http_status_code=status)
        with pytest.raises(ClientError) as caught:
            client.describe_training_job(TrainingJobName="x")
    return caught.value


def explain(error, kind):
    with pytest.raises(kind) as caught, explained("doing it"):
        raise error
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.startswith("doing it: ") and "\n" not in text
    return text


QUOTA = "The account-level service limit 'ml.p4d.24xlarge for training job usage' is 0 Instances"
NO_IMAGE = "Cannot find repository: awsdet in registry ID: 111122223333. Please check if your ECR image exists"


@pytest.mark.parametrize(
    "code, message, text",
    [
        ("ExpiredTokenException", "The security token is expired", "aws configure"),
        ("UnrecognizedClientException", "The security token is invalid", "aws configure"),
        (
            "AccessDeniedException",
            "not authorized to perform: sagemaker:CreateTrainingJob",
            "sagemaker/README.md lists",
        ),
        ("ResourceLimitExceeded", QUOTA, "ask for a higher quota of this instance type in Service Quotas"),
        ("ResourceInUse", "Training job names must be unique", "give another --name"),
        ("ValidationException", NO_IMAGE, "push the image to ECR"),
        ("ValidationException", "Could not AssumeRole with the role", "let sagemaker.amazonaws.com assume the role"),
        ("ValidationException", "something else", "something else (ValidationException)"),
        ("NoSuchBucket", "The specified bucket does not exist", "create the bucket"),
        ("PermanentRedirect", "wrong region", "the bucket is in another region"),
        ("Unheard", "of", "of (Unheard)"),
    ],
)
def test_mistakes_of_the_user(code, message, text):
    said = explain(answer(code, message), UserError)
    assert message in said and text in said


@pytest.mark.parametrize(
    "code, message",
    [
        ("ResourceNotFound", "no"),
        ("ResourceNotFoundException", "The specified log group does not exist."),
        ("NoSuchKey", "no"),
        ("404", "Not Found"),
        ("ValidationException", "Requested resource not found."),
        ("ValidationException", "Could not find training job 'arn:aws:sagemaker:…'."),
    ],
)
def test_what_does_not_exist(code, message):
    explain(answer(code, message), Absent)


@pytest.mark.parametrize(
    "code, status", [("ThrottlingException", 400), ("SlowDown", 503), ("InternalFailure", 500), ("Odd", 502)]
)
def test_failures_of_the_service(code, status):
    assert "try again later" in explain(answer(code, status=status), ServiceFailure)


@pytest.mark.parametrize(
    "error, text",
    [
        (faults.NoCredentialsError(), "aws configure"),
        (faults.PartialCredentialsError(provider="env", cred_var="x"), "aws configure"),
        (faults.UnauthorizedSSOTokenError(), "aws sso login"),
        (faults.TokenRetrievalError(provider="sso", error_msg="expired"), "aws sso login"),
        (faults.ProfileNotFound(profile="mine"), "AWS_PROFILE"),
        (faults.NoRegionError(), "give --region=NAME or set AWS_DEFAULT_REGION"),
        (faults.InvalidRegionError(region_name="a b"), "give --region=NAME"),
        (faults.ParamValidationError(report="bad"), "bad"),
    ],
)
def test_mistakes_in_the_settings(error, text):
    assert text in explain(error, UserError)


@pytest.mark.parametrize(
    "error",
    [
        faults.EndpointConnectionError(endpoint_url="https://x"),
        faults.ConnectTimeoutError(endpoint_url="https://x"),
        faults.ReadTimeoutError(endpoint_url="https://x"),
        faults.SSLError(endpoint_url="https://x", error="bad certificate"),
        faults.ProxyConnectionError(proxy_url="https://x"),
        faults.ConnectionClosedError(endpoint_url="https://x"),
    ],
)
def test_failures_of_the_network(error):
    assert "check the network" in explain(error, ServiceFailure)


def test_error_of_an_upload_is_that_of_the_service():
    try:
        raise answer("AccessDenied", "Access Denied")
    except ClientError as inner:
        outer = S3UploadFailedError("Failed to upload")
        outer.__context__ = inner
    assert "sagemaker/README.md" in explain(outer, UserError)
    explain(S3UploadFailedError("Failed to upload"), ServiceFailure)


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), explained("doing it"):
        raise ZeroDivisionError


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """An AWS configuration without anything in it."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


def test_region_is_that_of_the_flag_then_of_the_settings_then_of_the_image(settings):
    with pytest.raises(UserError, match="no AWS region is set; give --region=NAME"):
        services.connect()
    assert services.connect(otherwise="eu-west-1").sagemaker.meta.region_name == "eu-west-1"
    settings.setenv("AWS_DEFAULT_REGION", "us-west-2")
    assert services.connect(otherwise="eu-west-1").sagemaker.meta.region_name == "us-west-2"
    assert services.connect("us-east-2", otherwise="eu-west-1").s3.meta.region_name == "us-east-2"


def test_invalid_region(settings):
    with pytest.raises(UserError, match="give --region=NAME"):
        services.connect("not a region")
