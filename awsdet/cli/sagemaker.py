"""Trains on SageMaker: starts a job there, follows, describes and stops it, and fetches its results.

    awsdet sagemaker launch --config=FILE --train=s3://… --role=ARN --image=IMAGE --type=TYPE [--instances=N]
    awsdet sagemaker logs|describe|stop|download NAME

launch starts a job and follows it until it ends; Ctrl-C ends the following, not the job. FILE is configs/… for a config
of the image, or the path of a file of your own, which is sent along. With --dry-run, launch prints the request, checked
against all limits of the service, and needs no AWS credentials. sagemaker/README.md tells how to build the image, which
permissions are needed, and what it costs.

The exit code of launch and logs is 0 if the job completed or was stopped, 1 if it failed or ran out of time.
"""

import functools
import json
import pathlib
import shutil
import sys
import tempfile

from absl import flags

from awsdet.cli.arguments import define_path
from awsdet.runtime.errors import UserError
from awsdet.runtime.files import why_no_file

POSITIONAL = ("action", "job")
ACTIONS = ("launch", "logs", "describe", "stop", "download")
# The flags that each action but launch takes.
_TAKES = {
    "logs": ("region", "wait"),
    "describe": ("region",),
    "stop": ("region",),
    "download": ("region", "to"),
}
_ONLY_ELSEWHERE = ("to",)  # flags that launch does not take
_OF_IMAGE = "configs/"  # config files under this name are those of the image


_TEXT, _NUMBER, _COUNT, _SWITCH = flags.DEFINE_string, flags.DEFINE_float, flags.DEFINE_integer, flags.DEFINE_bool
# How a flag is made, its name, default and meaning.
_FLAGS = (
    (_TEXT, "action", "", f"what to do: {', '.join(ACTIONS)}"),
    (_TEXT, "job", "", "NAME: the job; for all but launch"),
    (_TEXT, "region", "", "AWS region; empty: that of your AWS settings, or else of the image"),
    (define_path, "config", "", "launch: config file, configs/… of the image or one of your own"),
    (_TEXT, "train", "", "launch: s3:// folder of the records, or of a COCO data set, or its archive"),
    (_TEXT, "val", "", "launch: the same for evaluation; empty: --train holds both splits"),
    (_TEXT, "weights", "", "launch: s3:// file of weights to start training from"),
    (_TEXT, "output", "", "launch: s3:// folder for the results; empty: awsdet/ in the bucket of --train"),
    (_TEXT, "role", "", "launch: ARN of the IAM role that the job runs as"),
    (_TEXT, "image", "", "launch: the container image in ECR"),
    (_TEXT, "type", "", "launch: instance type, as in ml.p4d.24xlarge"),
    (_COUNT, "instances", 1, "launch: number of instances"),
    (_TEXT, "name", "", "launch: name of the job; empty: made of the config's name and the time"),
    (_TEXT, "checkpoints", "", "launch: s3:// folder for checkpoints; give that of an earlier job to go on from there"),
    (_SWITCH, "spot", False, "launch: use spare capacity, which is cheaper and may be taken away"),
    (_NUMBER, "max-hours", 24.0, "launch: stop the job after this time"),
    (_NUMBER, "max-wait-hours", 0.0, "launch: with --spot, the same with waiting; 0: a day more"),
    (_COUNT, "volume-gb", 100, "launch: disk of instance types that have none of their own"),
    (_NUMBER, "keep-alive-minutes", 0.0, "launch: keep, and pay for, the machines this long after the job"),
    (_TEXT, "input-mode", "File", "launch: File copies the data first, FastFile reads it from S3 as needed"),
    (_TEXT, "tensorboard", "", "launch: s3:// folder for TensorBoard's files while the job runs"),
    (flags.DEFINE_list, "subnets", [], "launch: subnets to run in"),
    (flags.DEFINE_list, "security-groups", [], "launch: security groups, with --subnets"),
    (flags.DEFINE_multi_string, "env", [], "launch: KEY=VALUE, a variable of the container; can be repeated"),
    (_SWITCH, "dry-run", False, "launch: print the request as JSON and send nothing"),
    (_SWITCH, "wait", True, "launch, logs: follow the job until it ends"),
    (functools.partial(define_path, written=True), "to", "", "download: folder to make; empty: NAME"),
)


def define(flag_values):
    """Adds the flags of `awsdet sagemaker`."""
    for make, name, default, meaning in _FLAGS:
        make(name, default, meaning, flag_values=flag_values)


def run(flag_values, overrides):
    """Does the action. Returns the exit code."""
    from awsdet.sagemaker.services import ServiceFailure

    action, name = flag_values.action, flag_values.job
    if action not in ACTIONS:
        raise UserError(f"say what to do: awsdet sagemaker {'|'.join(ACTIONS)} (got {action or 'nothing'})")
    _check_flags(flag_values, overrides, action)
    try:
        if action == "launch":
            return _launch(flag_values, overrides)
        return _WORK[action](_connect(flag_values), name, flag_values)
    except (ServiceFailure, OSError) as error:
        print(f"awsdet sagemaker {action}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def _check_flags(flag_values, overrides, action):
    """Refuses what the action would not use, and asks for the name of the job."""
    if action == "launch":
        unused = [name for name in _ONLY_ELSEWHERE if flag_values[name].present]
        if flag_values.job:
            raise UserError(f"unexpected argument {flag_values.job}; the name of a new job is given as --name=NAME")
    else:
        allowed = (*POSITIONAL, *_TAKES[action])
        unused = [flag for flag in flag_values if flag_values[flag].present and flag not in allowed]
        unused += [f"config.{override.partition('=')[0]}" for override in overrides]
        if not flag_values.job:
            raise UserError(f"the name of the job is missing: awsdet sagemaker {action} NAME")
    if unused:
        raise UserError(f"{action} takes no --{unused[0]} (see awsdet sagemaker --help)")


# --------------------------------------------------------------------------------------------------------------- launch


def _launch(flag_values, overrides):
    from awsdet.sagemaker import jobs, request, storage
    from awsdet.sagemaker.services import ServiceFailure

    own_config, config = _config(flag_values.config, overrides)
    job = _job(flag_values, overrides, own_config)
    sent = request.create_training_job(job)
    image_region = request.region_of_image(job.image)
    _warn_of_weights(config, job)
    if flag_values["dry-run"].value:
        _note_region(flag_values.region, image_region)
        if own_config:
            _note(f"{own_config} would be copied to {job.config_file}")
        print(json.dumps(sent, indent=2))
        return 0
    clients = _connect(flag_values, image_region)
    _note_region(clients.sagemaker.meta.region_name, image_region)
    jobs.check_is_new(clients, job.name)
    if own_config:
        storage.upload_file(clients.s3, own_config, job.config_file)
        print(f"{own_config} was copied to {job.config_file}")
    jobs.create(clients, sent)
    print(f"started job {job.name} in {clients.sagemaker.meta.region_name}")
    print(f"  results      {job.output.rstrip('/')}/{job.name}/output")
    print(f"  checkpoints  {request.checkpoints(job)}", flush=True)
    if not flag_values.wait:
        print(f"  follow it    awsdet sagemaker logs {job.name}\n  stop it      awsdet sagemaker stop {job.name}")
        return 0
    try:
        return _follow(clients, job.name)
    except UserError as error:  # such as for a permission to look up jobs; this one runs, and costs money
        raise ServiceFailure(f"{error}; {jobs.goes_on(job.name)}") from error


def _job(flag_values, overrides, own_config):
    """The Job that the flags describe."""
    from awsdet.sagemaker import request

    missing = [name for name in ("train", "role", "image", "type") if not flag_values[name].value]
    if missing:
        raise UserError(f"launch needs --{', --'.join(missing)} (see awsdet sagemaker --help)")
    name = flag_values["name"].value or request.default_name(flag_values.config)
    output = flag_values.output
    if not output:
        output = f"s3://{request.split_s3(flag_values.train, 'train')[0]}/awsdet"
        _note(f"the output goes to {output}, since there is no --output")
    file = f"{output.rstrip('/')}/{name}/config/{own_config.name}" if own_config else ""
    return request.Job(
        name=name,
        image=flag_values.image,
        role=flag_values.role,
        config=own_config.name if own_config else flag_values.config,
        train=flag_values.train,
        output=output,
        instance_type=flag_values.type,
        instances=flag_values.instances,
        val=flag_values.val,
        weights=flag_values.weights,
        config_file=file,
        checkpoints=flag_values.checkpoints,
        settings=_pairs(overrides, "--config."),
        spot=flag_values.spot,
        max_hours=flag_values["max-hours"].value,
        max_wait_hours=flag_values["max-wait-hours"].value,
        volume_gb=flag_values["volume-gb"].value,
        keep_alive_minutes=flag_values["keep-alive-minutes"].value,
        input_mode=flag_values["input-mode"].value,
        tensorboard=flag_values.tensorboard,
        subnets=tuple(flag_values.subnets),
        security_groups=tuple(flag_values["security-groups"].value),
        environment=_pairs(flag_values.env, "--env="),
    )


def _config(name, overrides):
    """(path of the user's own config file, or None for one of the image; its settings, or None if it is not here).

    Checks the file, and the names and types of the overrides.

    A file of one's own is read from a folder of its own, as in the container: it must not need files beside it. A file
    of the image is checked if the folder that the command runs in holds the same one.
    """
    from awsdet import config as config_module

    if not name:
        raise UserError("launch needs --config=FILE; configs/ holds the ready ones")
    path = pathlib.Path(name)
    if name.startswith(_OF_IMAGE):
        if path.is_file():
            return None, config_module.load(path, overrides)
        _note(f"{name} is not here, so neither it nor --config.… could be checked; the image must have it")
        return None, None
    if not path.is_file():
        raise UserError(f"config file {name} {why_no_file(name)}; name a file, or configs/… for one of the image")
    with tempfile.TemporaryDirectory() as alone:
        copy = shutil.copy(path, alone)
        try:
            return path, config_module.load(copy, overrides)
        except UserError as error:
            beside = "; the container gets this one file, not what lies beside it: put all into one, or into the image"
            hint = beside if isinstance(error.__cause__, ImportError) else ""
            raise UserError(f"{str(error).replace(str(copy), name)}{hint}") from error


def _warn_of_weights(config, job):
    """Says that a new run would be refused, or needs the internet. No mistake, since a job that goes on from a
    checkpoint needs no weights."""
    from awsdet import config as config_module
    from awsdet.weights.catalogue import ENTRIES

    name = config.train.init_from if config is not None and not job.weights else ""
    if name in ENTRIES:
        _note(
            f"the job fetches the weights {name}, for which its containers need the internet; --weights=s3://… gives "
            "them from S3"
        )
    frozen = config_module.frozen_at_random(config) if config is not None and not job.weights else ""
    if frozen:
        _note(
            f"warning: {frozen} would keep layers at their random initial values; without --weights the job fails at "
            "its start, unless it goes on from a checkpoint"
        )


def _pairs(texts, flag):
    """{key: value} of strings "key=value". Raises UserError for one without "=", or for a key that is there twice."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"{flag}{text}: write {flag}KEY=VALUE")
        if key in pairs:
            raise UserError(f"{flag}{key} is given twice: {pairs[key]} and {value}")
        pairs[key] = value
    return pairs


def _note(text):
    """Tells the user something that is no part of the output."""
    print(f"awsdet sagemaker launch: {text}", file=sys.stderr)


def _note_region(region, image_region):
    if region and image_region and region != image_region:
        _note(f"the job is in {region} and the image in {image_region}; SageMaker takes images from the job's region")


# -------------------------------------------------------------------------------------------------------------- actions


def _connect(flag_values, otherwise=""):
    from awsdet.sagemaker import services

    return services.connect(flag_values.region, otherwise)


def _show(line):
    print(line, flush=True)


def _follow(clients, name):
    """Follows a job. Returns its exit code."""
    from awsdet.sagemaker import jobs

    try:
        end = jobs.follow(clients, name, _show)
    except KeyboardInterrupt:
        print(f"\nawsdet sagemaker: following ended; {jobs.goes_on(name)}", file=sys.stderr)
        return 1
    print(f"awsdet sagemaker: {end.text}", file=sys.stderr if end.code else sys.stdout)
    if end.code == 0:
        print(f"awsdet sagemaker: awsdet sagemaker download {name} fetches the results")
    return end.code


def _logs(clients, name, flag_values):
    from awsdet.sagemaker import jobs

    if flag_values.wait:
        return _follow(clients, name)
    jobs.print_log(clients, name, _show)
    return 0


def _describe(clients, name, flag_values):
    from awsdet.sagemaker import jobs

    rows = jobs.summary(jobs.describe(clients, name))
    width = max(len(what) for what, _ in rows)
    for what, value in rows:
        print(f"{what:<{width}}  {value}")
    return 0


def _stop(clients, name, flag_values):
    from awsdet.sagemaker import jobs

    print(jobs.stop(clients, name))
    return 0


def _download(clients, name, flag_values):
    from awsdet.sagemaker import downloads

    done = downloads.download(clients, name, flag_values.to or name)
    print(f"{done.files} files of {' and '.join(done.archives)} -> {done.folder}")
    return 0


_WORK = {"logs": _logs, "describe": _describe, "stop": _stop, "download": _download}
