"""Jobs that run: what a user sees of each status, and the exit code."""

import datetime

import pytest
from botocore.stub import ANY, Stubber

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import jobs, services
from awsdet.sagemaker.services import Absent, ServiceFailure
from tests.sagemaker.aws import CREDENTIALS, description
from tests.sagemaker.job import REGION

NAME = "mine-1"
HERE = {"TrainingJobName": NAME}


@pytest.fixture(scope="module")
def clients():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield services.connect(REGION)


@pytest.fixture
def aws(clients):
    """(clients, stubber of SageMaker, stubber of the logs); what is not expected fails."""
    with Stubber(clients.sagemaker) as sagemaker, Stubber(clients.logs) as logs:
        yield clients, sagemaker, logs


def streams(logs, *names):
    """The service lists the streams of the job."""
    found = {"logStreams": [{"logStreamName": f"{NAME}/{name}"} for name in names]}
    wanted = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{NAME}/"}
    logs.add_response("describe_log_streams", found, wanted)


def lines(logs, stream, lines, token=None):
    """The service gives the new lines [(ms, text)] of a stream, from the token on, and that there are no more."""
    wanted = {"logGroupName": ANY, "logStreamName": f"{NAME}/{stream}", "startFromHead": True}
    events = [{"timestamp": time, "message": text, "ingestionTime": time} for time, text in lines]
    after = f"{token or stream}+"
    start = {"nextToken": token} if token else {}
    logs.add_response("get_log_events", {"events": events, "nextForwardToken": after}, {**wanted, **start})
    logs.add_response("get_log_events", {"events": [], "nextForwardToken": after}, {**wanted, "nextToken": after})
    return after


def nothing(logs, token):
    """The service gives no new lines of a stream from the token on."""
    wanted = {"logGroupName": ANY, "logStreamName": ANY, "startFromHead": True, "nextToken": token}
    logs.add_response("get_log_events", {"events": [], "nextForwardToken": token}, wanted)


def follow(aws, pauses=None):
    shown = []
    end = jobs.follow(aws[0], NAME, shown.append, pause=(pauses if pauses is not None else []).append)
    aws[1].assert_no_pending_responses()
    aws[2].assert_no_pending_responses()
    return end, shown


def transitions(*changes):
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    return {
        "SecondaryStatusTransitions": [
            {"Status": status, "StartTime": start, "StatusMessage": message} for status, message in changes
        ]
    }


def test_follows_from_the_start_to_the_end(aws):
    _, sagemaker, logs = aws
    early = transitions(("Starting", "Preparing the instances for training"))
    late = transitions(
        ("Starting", "Preparing"), ("Training", "Training\nimage  download completed"), ("Completed", "")
    )
    sagemaker.add_response("describe_training_job", description(detail="Starting", **early), HERE)
    logs.add_client_error("describe_log_streams", "ResourceNotFoundException")  # the log group is not there yet
    sagemaker.add_response("describe_training_job", description(detail="Starting", **early), HERE)
    streams(logs, "algo-1-17", "algo-2-17")
    one = lines(logs, "algo-1-17", [(10, "first\n"), (30, "third")])
    two = lines(logs, "algo-2-17", [(20, "second"), (40, "fourth")])
    sagemaker.add_response("describe_training_job", description("Completed", "Completed", **late), HERE)
    streams(logs, "algo-1-17", "algo-2-17")
    nothing(logs, one)
    two_more = lines(logs, "algo-2-17", [(50, "fifth")], token=two)
    streams(logs, "algo-1-17", "algo-2-17")  # nothing new at first
    nothing(logs, one)
    nothing(logs, two_more)
    streams(logs, "algo-1-17", "algo-2-17", "algo-1-99")  # a line that CloudWatch has only after the end
    nothing(logs, one)
    nothing(logs, two_more)
    three = lines(logs, "algo-1-99", [(60, "sixth")])
    for _ in range(3):
        streams(logs, "algo-1-17", "algo-2-17", "algo-1-99")
        for token in (one, two_more, three):
            nothing(logs, token)
    pauses = []
    end, shown = follow(aws, pauses)
    assert end == (0, "job mine-1 completed: s3://bucket/out/mine-1/output/model.tar.gz")
    assert shown == [
        "mine-1: Starting: Preparing the instances for training",
        "[algo-1] first",
        "[algo-2] second",
        "[algo-1] third",
        "[algo-2] fourth",
        "mine-1: Training: Training image download completed",
        "mine-1: Completed",
        "[algo-2] fifth",
        "[algo-1] sixth",
    ]
    assert pauses == [10, 10, 5, 5, 5, 5, 5]


def ended(aws, status, detail, **more):
    """Follows a job that has ended already and wrote nothing."""
    _, sagemaker, logs = aws
    sagemaker.add_response("describe_training_job", description(status, detail, **more), HERE)
    for _ in range(4):  # one, and three after the end
        streams(logs)
    return follow(aws)[0]


def test_failed_gives_the_reason_in_one_line(aws):
    end = ended(aws, "Failed", "Failed", FailureReason="AlgorithmError: the disk\n is full, exit code: 1")
    assert end == (1, "job mine-1 failed: AlgorithmError: the disk is full, exit code: 1")


def test_failed_without_a_reason(aws):
    assert ended(aws, "Failed", "Failed") == (1, "job mine-1 failed: SageMaker gives no reason")


def test_stopped_says_how_to_go_on(aws):
    end = ended(aws, "Stopped", "Stopped", CheckpointConfig={"S3Uri": "s3://bucket/cp"})
    assert end == (0, "job mine-1 was stopped; start it again with --checkpoints=s3://bucket/cp to go on")


@pytest.mark.parametrize("detail", ["MaxRuntimeExceeded", "MaxWaitTimeExceeded"])
def test_out_of_time_is_a_failure(aws, detail):
    end = ended(aws, "Stopped", detail, CheckpointConfig={"S3Uri": "s3://bucket/cp"})
    assert end.code == 1 and detail in end.text and "--checkpoints=s3://bucket/cp" in end.text


def test_a_log_that_may_not_be_read_is_said_once(aws):
    _, sagemaker, logs = aws
    for status in ("InProgress", "InProgress", "Completed"):
        sagemaker.add_response("describe_training_job", description(status, status), HERE)
    logs.add_client_error("describe_log_streams", "AccessDeniedException", "no logs:DescribeLogStreams")
    end, shown = follow(aws)
    assert end.code == 0 and len(shown) == 1
    assert "no logs:DescribeLogStreams" in shown[0] and "the status is shown without the log" in shown[0]


def test_goes_on_after_a_failure_of_the_service_and_loses_no_line(aws):
    """The second stream cannot be read at first; what was read of the first is shown once it can."""
    _, sagemaker, logs = aws
    sagemaker.add_response("describe_training_job", description(), HERE)
    streams(logs, "algo-1-1", "algo-2-1")
    one = lines(logs, "algo-1-1", [(1, "one")])
    logs.add_client_error("get_log_events", "InternalFailure", "oops", http_status_code=500)
    sagemaker.add_client_error("describe_training_job", "ThrottlingException", "slow down")
    sagemaker.add_response("describe_training_job", description("Completed", "Completed"), HERE)
    streams(logs, "algo-1-1", "algo-2-1")
    nothing(logs, one)
    two = lines(logs, "algo-2-1", [(0, "zero")])
    for _ in range(3):
        streams(logs, "algo-1-1", "algo-2-1")
        nothing(logs, one)
        nothing(logs, two)
    end, shown = follow(aws)
    assert end.code == 0
    assert [line for line in shown if "oops" not in line] == ["[algo-2] zero", "[algo-1] one"]
    assert sum("trying again" in line for line in shown) == 1


def test_gives_up_after_many_failures_and_says_that_the_job_goes_on(aws):
    _, sagemaker, _ = aws
    for _ in range(30):
        sagemaker.add_client_error("describe_training_job", "InternalFailure", "oops", http_status_code=500)
    pauses = []
    with pytest.raises(ServiceFailure, match="oops.*the job goes on; awsdet sagemaker logs mine-1"):
        jobs.follow(aws[0], NAME, lambda line: None, pause=pauses.append)
    assert len(pauses) == 29


def test_credentials_that_expire_meanwhile_are_no_mistake_and_the_job_goes_on(aws):
    _, sagemaker, logs = aws
    sagemaker.add_response("describe_training_job", description(), HERE)
    streams(logs)
    sagemaker.add_client_error("describe_training_job", "ExpiredTokenException", "The security token has expired")
    with pytest.raises(ServiceFailure, match="token has expired.*the job goes on; awsdet sagemaker logs mine-1"):
        follow(aws)


def test_a_first_look_up_that_is_refused(aws):
    """Nobody knows then whether there is such a job."""
    aws[1].add_client_error("describe_training_job", "AccessDeniedException", "no sagemaker:DescribeTrainingJob")
    with pytest.raises(UserError, match="no sagemaker:DescribeTrainingJob") as raised:
        follow(aws)
    assert "goes on" not in str(raised.value)


def test_last_lines_that_cannot_be_read_do_not_change_the_exit_code(aws):
    _, sagemaker, logs = aws
    sagemaker.add_response("describe_training_job", description("Failed", "Failed", FailureReason="bad"), HERE)
    streams(logs)
    logs.add_client_error("describe_log_streams", "InternalFailure", "oops", http_status_code=500)
    end, shown = follow(aws)
    assert end == (1, "job mine-1 failed: bad") and "the last lines of the log are missing here" in shown[-1]


def test_job_that_does_not_exist(aws):
    aws[1].add_client_error("describe_training_job", "ValidationException", "Requested resource not found.")
    with pytest.raises(Absent, match="there is no job mine-1 in us-east-1; check the name, and give --region"):
        jobs.describe(aws[0], NAME)


@pytest.mark.parametrize("status", jobs.ENDED)
def test_stopping_a_job_that_has_ended_does_nothing(aws, status):
    aws[1].add_response("describe_training_job", description(status, status), HERE)
    assert jobs.stop(aws[0], NAME) == f"job mine-1 had ended already: {status}"


def test_stop(aws):
    aws[1].add_response("describe_training_job", description(), HERE)
    aws[1].add_response("stop_training_job", {}, HERE)
    assert "120 seconds to save a checkpoint" in jobs.stop(aws[0], NAME)
    aws[1].assert_no_pending_responses()


def test_end_of_a_job_that_runs():
    with pytest.raises(UserError, match="job mine-1 has not ended: InProgress"):
        jobs.end_of(description())


def test_summary_shows_what_people_ask_for():
    job = description(
        "Completed",
        "Completed",
        HyperParameters={"config": "configs/x.py"},
        EnableManagedSpotTraining=True,
        TrainingTimeInSeconds=1000,
        BillableTimeInSeconds=250,
        WarmPoolStatus={"Status": "Available"},
        InputDataConfig=[
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/r/"}}}
        ],
        FinalMetricDataList=[{"MetricName": "box_ap", "Value": 0.377, "Timestamp": datetime.datetime.now()}],
        CheckpointConfig={"S3Uri": "s3://bucket/cp"},
    )
    rows = dict(jobs.summary(job))
    assert rows["status"] == "Completed (Completed)" and rows["machines"] == "2 x ml.p4d.24xlarge"
    assert rows["billed time"] == "250 s per machine (75% saved by spot)"
    assert rows["created"] == "2026-01-02 03:04:05 UTC" and rows["data: train"] == "s3://b/r/"
    assert rows["setting: config"] == "configs/x.py" and rows["last box_ap"] == "0.377"
    assert rows["warm pool"] == "Available" and rows["checkpoints"] == "s3://bucket/cp"
    assert "reason" not in rows and "ended" not in rows


def test_summary_of_a_job_that_has_just_been_made():
    job = description(detail="Starting")
    del job["ModelArtifacts"]
    assert dict(jobs.summary(job)).keys() == {"job", "status", "machines", "image", "created"}
