"""boto3's clients, and what their errors mean to the user: one line with the cure.

A mistake that the user can mend is a UserError. What only time or the network can mend is a ServiceFailure.
"""

import contextlib
import re
from typing import Any, NamedTuple

from awsdet.runtime.errors import UserError

_CREDENTIALS = (
    "give AWS credentials: run `aws configure` or `aws sso login`, set AWS_PROFILE, or use a machine that has a role"
)
# Error codes of the services -> what to do; the service's own words come first.
_MENDABLE = {
    **dict.fromkeys(
        (
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        _CREDENTIALS,
    ),
    **dict.fromkeys(
        ("AccessDenied", "AccessDeniedException", "403", "Forbidden", "UnauthorizedOperation"),
        "your credentials lack a permission; sagemaker/README.md lists those that are needed",
    ),
    "ResourceLimitExceeded": (
        "ask for a higher quota of this instance type in Service Quotas, or take fewer or other instances"
    ),
    "ResourceInUse": "give another --name, or leave it out to get one with the time in it",
    "NoSuchBucket": "create the bucket, or name one that exists",
    "InvalidBucketName": "name a bucket that exists",
    "PermanentRedirect": "the bucket is in another region; take one in the region of the job",
    "301": "the bucket is in another region; take one in the region of the job",
    "OptInRequired": "this account has no access to SageMaker in this region",
}
_BUSY = ("Throttling", "ThrottlingException", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded")
_ABSENT_JOB = re.compile("Requested resource not found|Could not find training job")
_ABSENT = ("ResourceNotFound", "ResourceNotFoundException", "NoSuchKey", "404", "NotFound")


class ServiceFailure(Exception):
    """AWS could not be reached, or failed. Its text is one line. Nothing is wrong with the command: try again later."""


class Absent(UserError):
    """What was asked for does not exist."""


class Clients(NamedTuple):
    """boto3's clients of one region. sagemaker: jobs; logs: CloudWatch Logs; s3: files."""

    sagemaker: Any
    logs: Any
    s3: Any


def connect(region: str = "", otherwise: str = "") -> Clients:
    """The clients of a region. Credentials are looked up at the first call, not here.

    Args:
        region: "": that of the user's AWS settings.
        otherwise: the region if the user's settings name none either.

    Raises UserError.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise UserError("the package boto3 is missing; install it with: pip install boto3") from error
    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=20, read_timeout=60)
    with explained("connecting to AWS"):
        region = region or boto3.session.Session().region_name or otherwise
        session = boto3.session.Session(region_name=region or None)
        return Clients(*(session.client(name, config=config) for name in ("sagemaker", "logs", "s3")))


@contextlib.contextmanager
def explained(doing: str):
    """A context that turns every error of boto3 into a UserError or a ServiceFailure of one line.

    Args:
        doing: what the calls in the context do, as in "stopping job mine-1".
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _explain(doing, error) from error
    except Boto3Error as error:  # the transfer of files wraps the service's error
        cause = error.__cause__ or error.__context__
        inner = cause if isinstance(cause, (ClientError, BotoCoreError)) else error
        raise _explain(doing, inner) from error


def _explain(doing, error):
    """The UserError or ServiceFailure for an error of boto3."""
    from botocore import exceptions

    text = f"{doing}: {' '.join(str(error).split())}"
    if isinstance(error, exceptions.ClientError):
        return _explain_answer(doing, error)
    if isinstance(error, exceptions.NoRegionError):
        return UserError(f"{doing}: no AWS region is set; give --region=NAME or set AWS_DEFAULT_REGION")
    if isinstance(error, exceptions.InvalidRegionError):
        return UserError(f"{text}; give --region=NAME, as in us-east-1")
    if isinstance(error, exceptions.ProfileNotFound):
        return UserError(f"{text}; name an existing one in AWS_PROFILE (`aws configure list-profiles`)")
    credentials = (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.CredentialRetrievalError,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    )
    if isinstance(error, credentials):
        return UserError(f"{text}; {_CREDENTIALS}")
    if isinstance(error, exceptions.ParamValidationError):
        return UserError(text)
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return ServiceFailure(f"{text}; check the network and the name of the region")
    return ServiceFailure(text)


def _explain_answer(doing, error):
    """The UserError or ServiceFailure for an answer of the service that is an error."""
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), " ".join(str(answer.get("Message", "")).split())
    text = f"{doing}: {message or code} ({code})"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _MENDABLE:
        return UserError(f"{text}; {_MENDABLE[code]}")
    if code in _ABSENT or (code == "ValidationException" and _ABSENT_JOB.match(message)):
        return Absent(text)
    if code == "ValidationException" and "image" in message.lower():
        return UserError(f"{text}; push the image to ECR in the region of the job, and let the job's role read it")
    if code == "ValidationException" and "AssumeRole" in message:
        return UserError(f"{text}; let sagemaker.amazonaws.com assume the role (sagemaker/README.md)")
    if code in _BUSY or status >= 500:
        return ServiceFailure(f"{text}; try again later")
    return UserError(text)
