"""`awsdet sagemaker` as a user meets it: in a process of its own, with moto as AWS over HTTP."""

import datetime
import json
import os
import subprocess
import sys

import pytest

from awsdet.cli import main
from awsdet.sagemaker import jobs, request, services
from tests.sagemaker.aws import CREDENTIALS, ROOT, awsdet, moto_server
from tests.sagemaker.job import IMAGE, REGION, ROLE, job

CONFIG = "configs/mask_rcnn_r50_fpn_1x.py"
LAUNCH = (
    "launch",
    f"--config={CONFIG}",
    "--train=s3://bucket/records",
    "--output=s3://bucket/out",
    f"--role={ROLE}",
    f"--image={IMAGE}",
    "--type=ml.p4d.24xlarge",
)


RANDOM_LAYERS = (
    "awsdet sagemaker launch: warning: model.backbone.frozen_stages=1 and norm=frozen_batch_norm would keep layers at "
    "their random initial values; without --weights the job fails at its start, unless it goes on from a checkpoint\n"
)


def dry_run(*arguments, **options):
    """(the request, what was said beside it) of a dry run without credentials or region."""
    done = awsdet("sagemaker", *LAUNCH, "--dry-run", *arguments, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def mistake(*arguments, **options):
    """The one line that a mistake is answered with."""
    done = awsdet("sagemaker", *arguments, **options)
    assert done.returncode == 2 and done.stdout == "", (done.stdout, done.stderr)
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("awsdet sagemaker: "), done.stderr
    return done.stderr


NAMED_WEIGHTS = (
    "awsdet sagemaker launch: the job fetches the weights imagenet-r50, for which its containers need the internet; "
    "--weights=s3://… gives them from S3\n"
)


def test_dry_run_prints_the_request_of_the_job():
    made, said = dry_run("--name=mine-1")
    assert made == request.create_training_job(job()) and said == NAMED_WEIGHTS
    assert dry_run("--config.train.init_from=scratch")[1] == RANDOM_LAYERS


def test_a_run_with_weights_or_without_frozen_layers_needs_no_warning():
    assert dry_run("--weights=s3://bucket/w.npz")[1] == ""
    scratch = ("--config.model.backbone.frozen_stages=-1", "--config.model.backbone.norm=batch_norm")
    assert dry_run("--config.train.init_from=scratch", *scratch)[1] == ""


def test_every_flag_reaches_the_request():
    made, _ = dry_run(
        *("--name=mine-2", "--instances=4", "--val=s3://bucket/val", "--weights=s3://bucket/w.npz", "--spot"),
        *(
            "--max-hours=1.5",
            "--max-wait-hours=3",
            "--volume-gb=300",
            "--input-mode=FastFile",
            "--env=A=b=c",
            "--env=D=e",
        ),
        *("--tensorboard=s3://bucket/tb", "--subnets=subnet-1,subnet-2", "--security-groups=sg-1"),
        *("--checkpoints=s3://bucket/cp", "--config.data.batch_size=4", "--config.data.short_sides", "640,800"),
    )
    wanted = job(
        name="mine-2",
        instances=4,
        val="s3://bucket/val",
        weights="s3://bucket/w.npz",
        spot=True,
        max_hours=1.5,
        max_wait_hours=3,
        volume_gb=300,
        input_mode="FastFile",
        environment={"A": "b=c", "D": "e"},
        tensorboard="s3://bucket/tb",
        subnets=("subnet-1", "subnet-2"),
        security_groups=("sg-1",),
        checkpoints="s3://bucket/cp",
        settings={"data.batch_size": "4", "data.short_sides": "640,800"},
    )
    assert made == request.create_training_job(wanted)
    assert dry_run("--keep-alive-minutes=2")[0]["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 120


def test_output_that_is_not_given_is_said():
    made, said = dry_run("--output=", "--name=mine-1")
    assert made["OutputDataConfig"] == {"S3OutputPath": "s3://bucket/awsdet"}
    first = "awsdet sagemaker launch: the output goes to s3://bucket/awsdet, since there is no --output\n"
    assert said == first + NAMED_WEIGHTS


def test_image_of_another_region_is_said():
    _, said = dry_run("--region=eu-west-1")
    assert "the job is in eu-west-1 and the image in us-east-1" in said
    assert dry_run(f"--region={REGION}")[1] == NAMED_WEIGHTS


def write_config(folder, text="    return config\n"):
    path = folder / "mine.py"
    path.write_text(f"from awsdet import config as base\n\n\ndef get_config():\n    config = base.mask_rcnn()\n{text}")
    return path


def test_config_of_ones_own_becomes_a_channel(tmp_path):
    made, said = dry_run(f"--config={write_config(tmp_path)}", "--name=mine-1", "--config.data.batch_size=4")
    assert made["HyperParameters"] == {"config": "mine.py", "data.batch_size": "4"}
    channel = made["InputDataConfig"][-1]
    address = "s3://bucket/out/mine-1/config/mine.py"
    assert channel["ChannelName"] == "config" and channel["DataSource"]["S3DataSource"]["S3Uri"] == address
    assert f"mine.py would be copied to {address}" in said


@pytest.mark.parametrize(
    "changes, text",
    [
        (("--config=",), "launch needs --config=FILE"),
        (("--train=", "--role="), "launch needs --train, --role"),
        (("--type=",), "launch needs --type"),
        (("--config=nothing.py",), "config file nothing.py does not exist; name a file, or configs/…"),
        (("--config.data.batch_sise=4",), "unknown config key data.batch_sise; did you mean data.batch_size?"),
        (("--config.data.batch_size=four",), "expected an int"),
        (
            ("--config.data.batch_size=4", "--config.data.batch_size=8"),
            "--config.data.batch_size is given twice: 4 and 8",
        ),
        (("--config.data.train_records=/x",), "data.train_records is set by the address train"),
        (("--env=NAME",), "--env=NAME: write --env=KEY=VALUE"),
        (("--env=A=1", "--env=A=2"), "--env=A is given twice: 1 and 2"),
        (("--train=data/records",), "train: 'data/records' is not an address in S3"),
        (("--role=Training",), "role: 'Training' is not the ARN of an IAM role"),
        (("--type=p4d.24xlarge",), "near it are ml.p4d.24xlarge"),
        (("--name=" + "a" * 64,), "at most 63"),
        (("--instances=many",), "instances"),
        (("--spot", "--keep-alive-minutes=5"), "spot machines cannot be kept"),
        (("--to=x",), "launch takes no --to"),
        (("mine-1",), "unexpected argument mine-1; the name of a new job is given as --name=NAME"),
        (("--max-hours=0",), "max_hours: 0; it must be above 0"),
    ],
)
def test_mistakes_in_a_launch(changes, text):
    assert text in mistake(*LAUNCH, "--dry-run", *changes)


def test_own_copy_of_a_file_in_configs_is_sent_if_its_path_says_so():
    """configs/… is the image's; ./configs/… is a file of this machine."""
    made, said = dry_run(f"--config=./{CONFIG}")
    assert made["HyperParameters"]["config"] == "mask_rcnn_r50_fpn_1x.py" and "would be copied to" in said
    made, said = dry_run()
    assert made["HyperParameters"]["config"] == CONFIG and said == NAMED_WEIGHTS


def test_config_of_the_image_that_is_not_here_is_left_to_the_container(tmp_path):
    made, _ = dry_run("--config=configs/of_the_image.py", "--config.data.unknown=4", folder=tmp_path)
    assert made["HyperParameters"] == {"config": "configs/of_the_image.py", "data.unknown": "4"}


def test_config_that_needs_files_beside_it_is_refused(tmp_path):
    """The container gets this one file."""
    (tmp_path / "other.txt").write_text("x")
    path = write_config(tmp_path, "    open(__file__.replace('mine.py', 'other.txt'))\n    return config\n")
    line = mistake(*LAUNCH, "--dry-run", f"--config={path}")
    assert f"config file {path}: FileNotFoundError" in line


def test_config_that_imports_its_neighbours_is_refused_with_the_reason(tmp_path):
    (tmp_path / "base_config.py").write_text("x = 1\n")
    path = write_config(tmp_path, "    import base_config\n    return config\n")
    line = mistake(*LAUNCH, "--dry-run", f"--config={path}")
    assert f"config file {path}: ModuleNotFoundError: No module named 'base_config'" in line
    assert "the container gets this one file" in line


def test_config_of_ones_own_that_is_broken_is_named_by_its_path(tmp_path):
    path = write_config(tmp_path, "    config.data.batch_sise = 4\n    return config\n")
    assert f"config file {path}: " in mistake(*LAUNCH, "--dry-run", f"--config={path}")


@pytest.mark.parametrize(
    "arguments, text",
    [
        ((), "say what to do: awsdet sagemaker launch|logs|describe|stop|download (got nothing)"),
        (("lunch",), "got lunch"),
        (("stop",), "the name of the job is missing: awsdet sagemaker stop NAME"),
        (("stop", "mine-1", "--spot"), "stop takes no --spot"),
        (("describe", "mine-1", "--nowait"), "describe takes no --wait"),
        (("logs", "mine-1", "--config.data.batch_size=4"), "logs takes no --config.data.batch_size"),
        (("download", "mine-1", "x"), "unexpected argument x"),
        (("logs", "mine-1"), "no AWS region is set; give --region=NAME or set AWS_DEFAULT_REGION"),
        (
            ("stop", "mine-1", "--region=us-east-1"),
            "Unable to locate credentials; give AWS credentials: run `aws configure`",
        ),
        (("stop", "mine-1", "--region=a b"), "give --region=NAME, as in us-east-1"),
    ],
)
def test_mistakes_elsewhere(arguments, text):
    assert text in mistake(*arguments)


def test_launch_without_credentials():
    assert "Unable to locate credentials" in mistake(*LAUNCH, "--weights=s3://bucket/w.npz")


def test_network_that_does_not_answer():
    """Nothing listens on this port; a failure of the network has exit code 1."""
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = awsdet("sagemaker", "describe", "mine-1", environment=environment)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("awsdet sagemaker describe: looking up job mine-1: Could not connect")


def test_needs_neither_tensorflow_nor_boto3_for_its_help():
    source = (
        "import sys; from awsdet.cli import main; code = main.main(['sagemaker', '--help']); "
        "sys.exit(code or bool({'tensorflow', 'boto3', 'botocore'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_a_dry_run_loads_no_tensorflow():
    source = (
        "import sys; from awsdet.cli import main; code = main.main(sys.argv[1:]); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", source, "sagemaker", *LAUNCH, "--dry-run"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [(*LAUNCH, "--dry-run"), ("stop", "mine-1")])
def test_without_boto3(arguments):
    source = (
        "import sys; sys.modules.update(boto3=None, botocore=None); "
        "from awsdet.cli import main; sys.exit(main.main(['sagemaker', *sys.argv[1:]]))"
    )
    command = [sys.executable, "-c", source, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "awsdet sagemaker: the package boto3 is missing; install it with: pip install boto3\n"


def follow_with(monkeypatch, capsys, outcome):
    """(exit code, stdout, stderr) of `awsdet sagemaker logs mine-1`, if following the job ends in this way."""

    def follow(clients, name, show):
        show("[algo-1] a line")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jobs, "follow", follow)
    code = main.main(["sagemaker", "logs", "mine-1"])
    return (code, *capsys.readouterr())


def test_exit_code_is_that_of_the_job(monkeypatch, capsys):
    """Statuses that moto does not know."""
    code, out, err = follow_with(monkeypatch, capsys, jobs.End(1, "job mine-1 failed: the disk is full"))
    assert code == 1 and out == "[algo-1] a line\n"
    assert err == "awsdet sagemaker: job mine-1 failed: the disk is full\n"
    code, out, err = follow_with(monkeypatch, capsys, jobs.End(0, "job mine-1 was stopped"))
    assert code == 0 and "awsdet sagemaker: job mine-1 was stopped\n" in out and err == ""


def test_interrupt_ends_the_following_and_not_the_job(monkeypatch, capsys):
    code, _, err = follow_with(monkeypatch, capsys, KeyboardInterrupt())
    assert code == 1
    assert (
        "the job goes on; awsdet sagemaker logs mine-1 follows it again, awsdet sagemaker stop mine-1 stops it" in err
    )


def test_aws_that_cannot_be_reached_any_more(monkeypatch, capsys):
    failure = services.ServiceFailure("looking up job mine-1: no answer; the job goes on")
    code, _, err = follow_with(monkeypatch, capsys, failure)
    assert (code, err) == (1, "awsdet sagemaker logs: looking up job mine-1: no answer; the job goes on\n")


def test_script_does_the_same_as_the_command(tmp_path):
    """From any folder, and where awsdet is not installed."""
    command = [sys.executable, ROOT / "sagemaker" / "launch.py", *LAUNCH[1:], "--dry-run", "--name=mine-1"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PYTHONPATH"))}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == request.create_training_job(job())


@pytest.fixture(scope="module")
def aws():
    """The variables for which boto3 talks to moto, and clients that do."""
    with moto_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        clients = services.connect(REGION)
        clients.s3.create_bucket(Bucket="bucket")
        clients.logs.create_log_group(logGroupName="/aws/sagemaker/TrainingJobs")
        yield environment, clients


def write_log(clients, name, *texts):
    stream = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamName": f"{name}/algo-1-1700000000"}
    clients.logs.create_log_stream(**stream)
    now = round(datetime.datetime.now().timestamp() * 1000)
    events = [{"timestamp": now + index, "message": text} for index, text in enumerate(texts)]
    clients.logs.put_log_events(**stream, logEvents=events)


def test_from_launch_to_download(aws, tmp_path):
    environment, clients = aws
    write_log(clients, "mine-1", "awsdet_metric step=1 loss=1.5;", "done")
    path = write_config(tmp_path)
    done = awsdet("sagemaker", *LAUNCH, "--name=mine-1", f"--config={path}", environment=environment)
    assert done.returncode == 0, done.stderr
    for text in (
        f"{path} was copied to s3://bucket/out/mine-1/config/mine.py",
        f"started job mine-1 in {REGION}",
        "checkpoints  s3://bucket/out/mine-1/checkpoints",
        "[algo-1] awsdet_metric step=1 loss=1.5;\n[algo-1] done\n",
        "job mine-1 completed: s3://bucket/out/mine-1/output/model.tar.gz",
        "awsdet sagemaker download mine-1 fetches the results",
    ):
        assert text in done.stdout, done.stdout
    stored = clients.s3.get_object(Bucket="bucket", Key="out/mine-1/config/mine.py")["Body"].read()
    assert stored == path.read_bytes()

    changed = write_config(tmp_path, "    config.data.batch_size = 1\n    return config\n")
    weights = "--weights=s3://bucket/w.npz"
    again = mistake(*LAUNCH, "--name=mine-1", f"--config={changed}", weights, environment=environment)
    assert "there is a job mine-1 already; give another --name" in again
    assert clients.s3.get_object(Bucket="bucket", Key="out/mine-1/config/mine.py")["Body"].read() == stored

    logs = awsdet("sagemaker", "logs", "mine-1", "--nowait", environment=environment)
    assert (logs.returncode, logs.stdout) == (0, "[algo-1] awsdet_metric step=1 loss=1.5;\n[algo-1] done\n")
    described = awsdet("sagemaker", "describe", "mine-1", environment=environment)
    rows = dict(
        line.split(maxsplit=1) for line in described.stdout.splitlines() if not line.startswith(("last", "data"))
    )
    assert rows["status"] == "Completed (Completed)" and rows["machines"] == "1 x ml.p4d.24xlarge"
    stopped = awsdet("sagemaker", "stop", "mine-1", environment=environment)
    assert (stopped.returncode, stopped.stdout) == (0, "job mine-1 had ended already: Completed\n")

    missing = mistake("download", "mine-1", environment=environment, folder=tmp_path)
    assert "is not there any more" in missing
    archive = tmp_path / "model.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tmp_path, "mine.py"], check=True)
    clients.s3.upload_file(str(archive), "bucket", "out/mine-1/output/model.tar.gz")
    fetched = awsdet("sagemaker", "download", "mine-1", environment=environment, folder=tmp_path)
    assert (fetched.returncode, fetched.stdout) == (0, "1 files of model.tar.gz -> mine-1\n"), fetched.stderr
    assert (tmp_path / "mine-1" / "mine.py").read_bytes() == changed.read_bytes()


def test_launch_without_waiting(aws):
    environment, _ = aws
    done = awsdet("sagemaker", *LAUNCH, "--name=mine-3", "--nowait", environment=environment)
    assert done.returncode == 0
    assert "awsdet sagemaker logs mine-3" in done.stdout and "awsdet sagemaker stop mine-3" in done.stdout
    assert "completed" not in done.stdout


@pytest.mark.parametrize("action", ["logs", "describe", "stop", "download"])
def test_job_that_does_not_exist(aws, action):
    environment, _ = aws
    assert "there is no job none in us-east-1; check the name" in mistake(action, "none", environment=environment)
