"""Training jobs that exist: start, follow, describe and stop them."""

import time
from typing import Any, NamedTuple

from awsdet.runtime.errors import UserError
from awsdet.sagemaker.logs import Log
from awsdet.sagemaker.services import Absent, Clients, ServiceFailure, explained

POLL_SECONDS = 10
_PATIENCE = 30  # failed polls in a row before following ends
_LAST_POLLS = 12  # at most, after the end of a job, for lines that CloudWatch has not yet
_QUIET_POLLS = 3  # so many of them in a row without a line mean that there are no more
ENDED = ("Completed", "Failed", "Stopped")
_OUT_OF_TIME = ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


class End(NamedTuple):
    """How a job ended. code: exit code, 0 or 1. text: one line."""

    code: int
    text: str


def create(clients: Clients, request: dict[str, Any]) -> str:
    """Starts a job from a request of `request.create_training_job`. Returns its ARN.

    Raises UserError or ServiceFailure.
    """
    with explained(f"starting job {request['TrainingJobName']}"):
        return clients.sagemaker.create_training_job(**request)["TrainingJobArn"]


def describe(clients: Clients, name: str) -> dict[str, Any]:
    """What SageMaker knows about a job: boto3's answer. Raises UserError (Absent if there is no such job)."""
    try:
        with explained(f"looking up job {name}"):
            return clients.sagemaker.describe_training_job(TrainingJobName=name)
    except Absent:
        region = clients.sagemaker.meta.region_name
        raise Absent(
            f"there is no job {name} in {region}; check the name, and give --region if it is elsewhere"
        ) from None


def check_is_new(clients: Clients, name: str) -> None:
    """Raises UserError if there is a job of this name: its files in S3 must not be overwritten. Or ServiceFailure."""
    try:
        describe(clients, name)
    except Absent:
        return
    raise UserError(
        f"there is a job {name} already; give another --name, or leave it out to get one with the time in it"
    )


def stop(clients: Clients, name: str) -> str:
    """Asks a job to stop: it gets 120 seconds to save a checkpoint. Returns what was done, as one line.

    Raises UserError or ServiceFailure.
    """
    status = describe(clients, name)["TrainingJobStatus"]
    if status in ENDED:
        return f"job {name} had ended already: {status}"
    with explained(f"stopping job {name}"):
        clients.sagemaker.stop_training_job(TrainingJobName=name)
    return f"job {name} is stopping; it has 120 seconds to save a checkpoint"


def follow(clients: Clients, name: str, show, pause=time.sleep) -> End:
    """Shows the log and the changes of the status of a job until it ends.

    A failed look-up is tried again for about five minutes. The job goes on if following ends early.

    Args:
        show: function that takes one line.
        pause: function that waits for some seconds.

    Raises UserError if there is no such job or the first look-up is refused. From then on ServiceFailure, which says
    that the job goes on: AWS cannot be reached any more, or credentials have expired.
    """
    log, seen, failures, log_fault, exists = Log(clients.logs, name), 0, 0, "", False
    while True:
        try:
            job = describe(clients, name)
            exists = True
            seen = _show_changes(job, seen, show)
            log_fault = _show_lines(log, show, log_fault)
            failures = 0
        except ServiceFailure as error:
            failures += 1
            if failures == 1:
                show(f"{error}; trying again")
            if failures == _PATIENCE:
                raise ServiceFailure(f"{error}; {goes_on(name)}") from error
        except UserError as error:
            if not exists:
                raise
            raise ServiceFailure(f"{error}; {goes_on(name)}") from error
        if not failures and job["TrainingJobStatus"] in ENDED:
            break
        pause(POLL_SECONDS)
    if not log_fault:
        _show_last_lines(log, show, pause)
    return end_of(job)


def print_log(clients: Clients, name: str, show) -> None:
    """Shows the lines of a job so far. Raises UserError (also if there is no such job) or ServiceFailure."""
    describe(clients, name)
    for line in Log(clients.logs, name).read():
        show(line)


def end_of(job: dict[str, Any]) -> End:
    """The End of a job that ended, from boto3's description. Raises UserError if it still runs."""
    name, status, detail = job["TrainingJobName"], job["TrainingJobStatus"], job.get("SecondaryStatus", "")
    if status not in ENDED:
        raise UserError(f"job {name} has not ended: {status} ({detail})")
    if status == "Completed":
        return End(0, f"job {name} completed: {artifacts(job)}")
    if status == "Failed":
        reason = " ".join(str(job.get("FailureReason", "SageMaker gives no reason")).split())
        return End(1, f"job {name} failed: {reason}")
    going_on = f"start it again with --checkpoints={job.get('CheckpointConfig', {}).get('S3Uri', 'S3')} to go on"
    if detail in _OUT_OF_TIME:
        return End(1, f"job {name} ran out of time ({detail}); {going_on}, and with more --max-hours")
    return End(0, f"job {name} was stopped; {going_on}")


def artifacts(job: dict[str, Any]) -> str:
    """The S3 address of model.tar.gz; "" before there is one."""
    return job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")


def summary(job: dict[str, Any]) -> list[tuple[str, str]]:
    """[(what, value)] of boto3's description of a job, for people."""
    resources = job.get("ResourceConfig", {})
    rows = [
        ("job", job["TrainingJobName"]),
        ("status", f"{job['TrainingJobStatus']} ({job.get('SecondaryStatus', '')})"),
        ("reason", " ".join(job.get("FailureReason", "").split())),
        ("machines", f"{resources.get('InstanceCount', '?')} x {resources.get('InstanceType', '?')}"),
        ("image", job.get("AlgorithmSpecification", {}).get("TrainingImage", "")),
        ("created", _time(job.get("CreationTime"))),
        ("started", _time(job.get("TrainingStartTime"))),
        ("ended", _time(job.get("TrainingEndTime"))),
        ("training time", _seconds(job.get("TrainingTimeInSeconds"))),
        ("billed time", _billed(job)),
        ("warm pool", job.get("WarmPoolStatus", {}).get("Status", "")),
        *((f"data: {channel['ChannelName']}", _source(channel)) for channel in job.get("InputDataConfig", ())),
        ("checkpoints", job.get("CheckpointConfig", {}).get("S3Uri", "")),
        ("model", artifacts(job)),
    ]
    rows += [(f"setting: {key}", value) for key, value in sorted(job.get("HyperParameters", {}).items())]
    rows += [(f"last {found['MetricName']}", f"{found['Value']:g}") for found in job.get("FinalMetricDataList", ())]
    return [(what, value) for what, value in rows if value]


def goes_on(name: str) -> str:
    """What to tell a user who stops following a job that still runs."""
    return f"the job goes on; awsdet sagemaker logs {name} follows it again, awsdet sagemaker stop {name} stops it"


def _show_changes(job, seen, show):
    """Shows the changes of the status beyond the first `seen`. Returns their number."""
    changes = job.get("SecondaryStatusTransitions", [])
    for change in changes[seen:]:
        message = " ".join(change.get("StatusMessage", "").split())
        show(f"{job['TrainingJobName']}: {change['Status']}{f': {message}' if message else ''}")
    return len(changes)


def _show_lines(log, show, fault):
    """Shows the new lines of the log. If it cannot be read, says so once. Returns the fault, or ""."""
    if fault:
        return fault
    try:
        lines = log.read()
    except UserError as error:
        show(f"{error}; the status is shown without the log")
        return str(error)
    for line in lines:
        show(line)
    return ""


def _show_last_lines(log, show, pause):
    """Shows the lines that reach CloudWatch after the end of the job, which may take some seconds each."""
    quiet = 0
    for _ in range(_LAST_POLLS):
        pause(POLL_SECONDS / 2)
        try:
            lines = log.read()
        except (UserError, ServiceFailure) as error:
            show(f"{error}; the last lines of the log are missing here")
            return
        for line in lines:
            show(line)
        quiet = 0 if lines else quiet + 1
        if quiet == _QUIET_POLLS:
            return


def _time(time):
    return f"{time:%Y-%m-%d %H:%M:%S %Z}" if time else ""


def _seconds(seconds):
    return "" if seconds is None else f"{seconds} s per machine"


def _billed(job):
    """The billed time of each machine, and what spare capacity saved."""
    billed, used = job.get("BillableTimeInSeconds"), job.get("TrainingTimeInSeconds")
    if billed is None:
        return ""
    saved = f" ({1 - billed / used:.0%} saved by spot)" if job.get("EnableManagedSpotTraining") and used else ""
    return f"{billed} s per machine{saved}"


def _source(channel):
    return channel.get("DataSource", {}).get("S3DataSource", {}).get("S3Uri", "")
