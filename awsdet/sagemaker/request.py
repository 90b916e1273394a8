"""A training job as a value, and the request to SageMaker that starts it, as plain data.

The request is what boto3's `create_training_job` takes. It is checked against the limits of the service.
"""

import datetime
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import limits, metrics

CHECKPOINTS = "/opt/ml/checkpoints"  # SageMaker keeps a copy of this folder of the container in S3
TENSORBOARD = "/opt/ml/output/tensorboard"  # and of this one
INPUT_MODES = ("File", "FastFile")
LONGEST_DAYS = 28  # that SageMaker lets a job run
_NAME_LENGTH = 63
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
# Settings that the container takes from channels -> the field of a Job that fills the channel.
_FROM_CHANNELS = {"data.train_records": "train", "data.eval_records": "val", "train.init_from": "weights"}
_S3 = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/(?P<key>[^/].*)?)?")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.+")


class Job(NamedTuple):
    """A training job. Addresses are in S3 (s3://bucket/key); "" and () mean that there is none.

    name: unique in the account and region, at most 63 letters, digits and hyphens.
    image: the container image, in ECR. role: ARN of the IAM role that the job runs as.
    config: a config file of the image, such as configs/mask_rcnn_r50_fpn_1x.py, or the name of the file at config_file.
    train, val: records that `awsdet convert` wrote, or COCO annotations and images, as a folder or an archive.
    output: folder for the results, which end up in output/name/output.
    instance_type, instances: the machines and their number.
    config_file: a config file of the user's own. weights: a file to start training from.
    checkpoints: folder for checkpoints; "": output/name/checkpoints. A job that gets that of an earlier one goes on.
    settings: changes of the config, such as {"data.batch_size": "4"}.
    max_hours: most hours that the job may run.
    spot: use spare capacity, which costs less and may be taken away. max_wait_hours: most hours from the start of such
    a job to its end, waiting included; 0: max_hours and a day.
    volume_gb: size of the disk (GB) of instance types without disks of their own.
    keep_alive_minutes: how long the machines are kept, and paid for, after the job.
    input_mode: File copies the data first; FastFile reads it from S3 as needed.
    tensorboard: folder for the event files while the job runs.
    subnets, security_groups: the network to run in. environment: variables of the container.
    """

    name: str
    image: str
    role: str
    config: str
    train: str
    output: str
    instance_type: str
    instances: int = 1
    val: str = ""
    weights: str = ""
    config_file: str = ""
    checkpoints: str = ""
    settings: Mapping[str, str] = {}
    spot: bool = False
    max_hours: float = 24.0
    max_wait_hours: float = 0.0
    volume_gb: int = 100
    keep_alive_minutes: float = 0.0
    input_mode: str = "File"
    tensorboard: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


def default_name(config: str) -> str:
    """A name for a job that trains with this config file: the file's name and the time (UTC)."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stem = re.sub("[^a-zA-Z0-9]+", "-", config.rpartition("/")[2].removesuffix(".py")).strip("-") or "awsdet"
    suffix = f"-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}"
    return stem[: _NAME_LENGTH - len(suffix)].rstrip("-") + suffix


def create_training_job(job: Job) -> dict[str, Any]:
    """The arguments of boto3's `create_training_job`. Raises UserError if a field of the job is wrong."""
    _check(job)
    request = {
        "TrainingJobName": job.name,
        "RoleArn": job.role,
        "AlgorithmSpecification": {
            "TrainingImage": job.image,
            "TrainingInputMode": job.input_mode,
            "MetricDefinitions": metrics.definitions(),
        },
        "HyperParameters": hyperparameters(job),
        "InputDataConfig": [_channel(name, address) for name, address in channels(job).items()],
        "OutputDataConfig": {"S3OutputPath": job.output},
        "CheckpointConfig": {"S3Uri": checkpoints(job), "LocalPath": CHECKPOINTS},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instances,
            "VolumeSizeInGB": job.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": max_seconds(job)},
        "EnableManagedSpotTraining": job.spot,
    }
    if job.spot:
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = max_wait_seconds(job)
    if job.keep_alive_minutes:
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = keep_alive_seconds(job)
    if job.tensorboard:
        request["TensorBoardOutputConfig"] = {"S3OutputPath": job.tensorboard, "LocalPath": TENSORBOARD}
    if job.subnets:
        request["VpcConfig"] = {"Subnets": list(job.subnets), "SecurityGroupIds": list(job.security_groups)}
    if environment(job):
        request["Environment"] = environment(job)
    limits.check(request)
    return request


def hyperparameters(job: Job) -> dict[str, str]:
    """The name of the config file and the settings, as the container reads them."""
    return {"config": job.config, **job.settings}


def channels(job: Job) -> dict[str, str]:
    """Channel -> S3 address.

    SageMaker takes every object whose key starts with an address. A folder therefore ends in "/", or records/ would
    come with all of records_old/.
    """
    given = {"train": _folder(job.train), "val": _folder(job.val), "weights": job.weights, "config": job.config_file}
    return {name: address for name, address in given.items() if address}


def environment(job: Job) -> dict[str, str]:
    """The variables of the container; one tells it to write the event files that `tensorboard` asks for."""
    return {**({"AWSDET_TENSORBOARD": "1"} if job.tensorboard else {}), **job.environment}


def checkpoints(job: Job) -> str:
    """The S3 address of the job's checkpoints."""
    return job.checkpoints or f"{job.output.rstrip('/')}/{job.name}/checkpoints"


def max_seconds(job: Job) -> int:
    """The longest time that the job may run."""
    return round(job.max_hours * 3600)


def max_wait_seconds(job: Job) -> int:
    """The longest time from the start of a job on spare capacity to its end."""
    return round((job.max_wait_hours or job.max_hours + 24) * 3600)


def keep_alive_seconds(job: Job) -> int:
    """How long the machines are kept after the job."""
    return round(job.keep_alive_minutes * 60)


def split_s3(address: str, what: str = "S3 address") -> tuple[str, str]:
    """(bucket, key) of s3://bucket/key. Raises UserError, which starts with `what`, for anything else."""
    found = _S3.fullmatch(address) if isinstance(address, str) else None
    if found is None or ".." in found["bucket"]:
        raise UserError(f"{what}: {address!r} is not an address in S3; write s3://BUCKET/FOLDER")
    return found["bucket"], found["key"] or ""


def region_of_image(image: str) -> str:
    """The region that an image of ECR is in; "" for other images."""
    found = re.match(r"\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com", image)
    return found.group(1) if found else ""


def _folder(address):
    return address if not address or address.endswith(("/", *_ARCHIVES)) else f"{address}/"


def _channel(name, address):
    source = {"S3DataType": "S3Prefix", "S3Uri": address, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _check(job):
    """Raises UserError for what the service's model does not know, or would say less clearly."""
    for field in ("name", "image", "role", "config", "train", "output", "instance_type"):
        if not getattr(job, field):
            raise UserError(f"{field} is missing")
    _check_name(job.name)
    if not _ROLE.fullmatch(job.role):
        raise UserError(f"role: {job.role!r} is not the ARN of an IAM role; write arn:aws:iam::ACCOUNT:role/NAME")
    for field in ("train", "val", "weights", "config_file", "output", "checkpoints", "tensorboard"):
        if getattr(job, field):
            split_s3(getattr(job, field), field)
    if job.weights.endswith("/"):
        raise UserError(f"weights: {job.weights} is a folder; name one file of weights")
    _check_settings(job)
    _check_machines(job)
    if bool(job.subnets) != bool(job.security_groups):
        raise UserError("subnets and security_groups belong together: give both or neither")
    if job.input_mode not in INPUT_MODES:
        raise UserError(f"input_mode: {job.input_mode!r} is neither of {' and '.join(INPUT_MODES)}")


def _check_name(name):
    if len(name) > _NAME_LENGTH:
        raise UserError(f"name: {name!r} has {len(name)} characters; at most {_NAME_LENGTH} are allowed")
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name):
        raise UserError(f"name: {name!r} may hold only letters, digits and hyphens, with no hyphen at either end")


def _check_settings(job):
    for key, value in job.settings.items():
        if value in ("", "None", "null"):  # SDKs send these for "no value", so the container refuses them
            raise UserError(f"settings: {key} has no value; give it one, or leave it out")
        if key == "config":
            raise UserError(
                "settings: config is the name of the config file, not a setting; give it as the job's config"
            )
        field = _FROM_CHANNELS.get(key.removeprefix("config."))
        if field is None:
            continue
        if field == "train" or getattr(job, field):
            raise UserError(f"settings: {key} is set by the address {field}; leave one of them out")
    if job.config_file and job.config_file.rpartition("/")[2] != job.config:
        raise UserError(f"config: {job.config!r} is not the name of the file {job.config_file}")


def _check_machines(job):
    if job.instances < 1:
        raise UserError(f"instances: {job.instances}; at least 1 is needed")
    for field, most in (("max_hours", LONGEST_DAYS * 24), ("max_wait_hours", None), ("keep_alive_minutes", None)):
        hours = getattr(job, field)
        if not math.isfinite(hours):
            raise UserError(f"{field}: {hours}; it must be a number")
        if hours < 0 or (field == "max_hours" and not 0 < hours <= most):
            raise UserError(f"{field}: {hours:g}; it must be above 0{f' and at most {most}' if most else ''}")
    if job.max_wait_hours and not job.spot:
        raise UserError("max_wait_hours is for spot jobs only; set spot, or leave it out")
    if job.spot and max_wait_seconds(job) < max_seconds(job):
        raise UserError(f"max_wait_hours: {job.max_wait_hours:g} is less than max_hours, {job.max_hours:g}")
    if job.spot and job.keep_alive_minutes:
        raise UserError("keep_alive_minutes: spot machines cannot be kept after the job; leave out one of the two")
