"""What the entry point reads of the files and variables that describe a job."""

import json

import pytest

from awsdet.runtime.errors import UserError
from tests.sagemaker import fake_jobs

import container_base  # isort: skip
import container_description  # isort: skip

# The same settings, as each SDK sends them: seen in the requests of sagemaker 2.257.7 and 3.27.0.
TRAINER_V3 = {"config": "configs/x.py", "train.tensorboard": "true", "data.batch_size": "4", "data.short_sides": "1,2"}
ESTIMATOR_V2 = {**TRAINER_V3, "train.tensorboard": "True"}
TENSORFLOW_V2 = {
    "config": '"configs/x.py"',
    "train.tensorboard": "true",
    "data.batch_size": "4",
    "data.short_sides": '"1,2"',
    "model_dir": '"s3://somewhere/model"',
    "sagemaker_program": '"entry.py"',
    "sagemaker_container_log_level": "20",
    "sagemaker_region": '"eu-west-1"',
}


@pytest.fixture
def paths(tmp_path, monkeypatch):
    for name in ("SM_HPS", "SM_HOSTS", "SM_CURRENT_HOST", "SM_CHANNELS", "SM_INPUT_DATA_CONFIG", "TRAINING_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    return container_base.Paths(tmp_path / "ml")


@pytest.mark.parametrize("encoded", [ESTIMATOR_V2, TENSORFLOW_V2, TRAINER_V3], ids=["v2", "v2-tensorflow", "v3"])
def test_three_encodings_mean_the_same(encoded):
    decoded = container_description.decode_hyperparameters(encoded)
    assert decoded == {
        "config": "configs/x.py",
        "train.tensorboard": "true",
        "data.batch_size": "4",
        "data.short_sides": "1,2",
    }


def test_the_sdks_own_keys_are_named(capsys):
    container_description.decode_hyperparameters(TENSORFLOW_V2)
    said = capsys.readouterr().out
    assert "model_dir" in said and "sagemaker_region" in said and "batch_size" not in said


@pytest.mark.parametrize(
    "encoded, plain",
    [
        ("1e-4", "1e-4"),
        ("0.10", "0.10"),
        ("[640, 800]", "[640, 800]"),
        ("False", "false"),
        ('"True"', "True"),
        ("mixed_float16", "mixed_float16"),
        (4, "4"),  # SM_HPS holds values that are decoded already
        (True, "true"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_keep_what_was_written(encoded, plain):
    assert container_description.decode_hyperparameters({"key": encoded}) == {"key": plain}


@pytest.mark.parametrize("encoded", ["null", '{"a": 1}', "", '""', "None", None])
def test_a_value_that_is_none_is_refused(encoded):
    with pytest.raises(UserError, match="hyper-parameter data.batch_size is"):
        container_description.decode_hyperparameters({"data.batch_size": encoded})


def test_hosts_are_sorted_by_their_numbers(paths):
    hosts = [f"algo-{number}" for number in range(1, 11)]
    fake_jobs.make_job(paths.root, {"config": "x.py"}, {}, hosts, "algo-10")
    written = json.loads((paths.config / "resourceconfig.json").read_text())["hosts"]
    assert written[1] == "algo-10"  # as SageMaker sorts them
    description = container_description.read_description(paths)
    assert description.hosts == tuple(hosts) and not description.leads and description.interface == "eth0"


def test_the_first_by_number_leads(paths):
    fake_jobs.make_job(paths.root, {"config": "x.py"}, {}, ["algo-10", "algo-2"], "algo-2")
    assert container_description.read_description(paths).leads


def test_variables_serve_if_files_are_missing(paths, monkeypatch):
    monkeypatch.setenv("SM_HPS", json.dumps({"config": "x.py", "data.batch_size": 4}))
    monkeypatch.setenv("SM_HOSTS", '["algo-2", "algo-1"]')
    monkeypatch.setenv("SM_CURRENT_HOST", "algo-2")
    monkeypatch.setenv("SM_NETWORK_INTERFACE_NAME", "eth1")
    monkeypatch.setenv("SM_CHANNELS", '["train"]')
    description = container_description.read_description(paths)
    assert description.hyperparameters == {"config": "x.py", "data.batch_size": "4"}
    assert description.hosts == ("algo-1", "algo-2") and description.interface == "eth1"
    assert set(description.channels) == {"train"} and description.channels["train"].mode == "File"


def test_files_come_before_variables(paths, monkeypatch):
    fake_jobs.make_job(paths.root, {"config": "file.py"}, {})
    monkeypatch.setenv("SM_HPS", '{"config": "variable.py"}')
    monkeypatch.setenv("SM_CHANNELS", '["variable"]')
    description = container_description.read_description(paths)
    assert description.hyperparameters == {"config": "file.py"} and not description.channels


def test_modes_of_channels(paths, tmp_path):
    (tmp_path / "data").mkdir()
    modes = {"train": {"TrainingInputMode": "FastFile", "S3DistributionType": "ShardedByS3Key"}}
    fake_jobs.make_job(paths.root, {}, {"train": tmp_path / "data"}, modes=modes)
    assert container_description.read_description(paths).channels["train"] == ("train", "FastFile", True)


def test_the_token_belongs_to_one_job(paths, monkeypatch):
    fake_jobs.make_job(paths.root, {}, {}, ["algo-1", "algo-2"], "algo-1")
    monkeypatch.setenv("TRAINING_JOB_ARN", "arn:one")
    one = container_description.read_description(paths).token
    assert one == container_description.read_description(paths).token
    monkeypatch.setenv("TRAINING_JOB_ARN", "arn:two")
    assert container_description.read_description(paths).token != one


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("hyperparameters", "{", "hyperparameters.json is not valid JSON"),
        ("hyperparameters", "[]", "hyperparameters.json holds a list, not a dict"),
        ("resourceconfig", "{}", "name the hosts"),
        ("resourceconfig", '{"hosts": ["algo-1"], "current_host": "algo-3"}', "algo-3, is not among the hosts"),
    ],
)
def test_malformed_files_are_named(paths, name, content, message):
    fake_jobs.make_job(paths.root, {"config": "x.py"}, {})
    (paths.config / f"{name}.json").write_text(content)
    with pytest.raises(UserError, match=message):
        container_description.read_description(paths)


@pytest.mark.parametrize("missing", ["hyperparameters", "resourceconfig"])
def test_a_missing_file_is_named(paths, missing):
    fake_jobs.make_job(paths.root, {"config": "x.py"}, {})
    (paths.config / f"{missing}.json").unlink()
    with pytest.raises(UserError, match=f"{missing}.json"):
        container_description.read_description(paths)
