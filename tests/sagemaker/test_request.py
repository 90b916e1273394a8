"""From a Job to the request: every field arrives, and each mistake is named."""

import re

import pytest

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import metrics, request
from awsdet.sagemaker.request import create_training_job
from tests.sagemaker.job import IMAGE, ROLE, job


def test_the_smallest_job():
    made = create_training_job(job())
    assert made.pop("AlgorithmSpecification") == {
        "TrainingImage": IMAGE,
        "TrainingInputMode": "File",
        "MetricDefinitions": metrics.definitions(),
    }
    assert made == {
        "TrainingJobName": "mine-1",
        "RoleArn": ROLE,
        "HyperParameters": {"config": "configs/mask_rcnn_r50_fpn_1x.py"},
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": "s3://bucket/records/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "CheckpointConfig": {"S3Uri": "s3://bucket/out/mine-1/checkpoints", "LocalPath": "/opt/ml/checkpoints"},
        "ResourceConfig": {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1, "VolumeSizeInGB": 100},
        "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
        "EnableManagedSpotTraining": False,
    }


def test_every_other_field():
    made = create_training_job(
        job(
            config="mine.py",
            config_file="s3://bucket/out/mine-1/config/mine.py",
            val="s3://bucket/val/",
            weights="s3://bucket/resnet50.npz",
            output="s3://bucket/out/",
            checkpoints="s3://bucket/earlier/checkpoints",
            instances=4,
            settings={"data.batch_size": "4", "data.short_sides": "640,800"},
            spot=True,
            max_hours=1.5,
            volume_gb=500,
            input_mode="FastFile",
            tensorboard="s3://bucket/tensorboard",
            subnets=("subnet-1", "subnet-2"),
            security_groups=("sg-1",),
            environment={"NCCL_DEBUG": "INFO"},
        )
    )
    assert made["HyperParameters"] == {"config": "mine.py", "data.batch_size": "4", "data.short_sides": "640,800"}
    uris = {entry["ChannelName"]: entry["DataSource"]["S3DataSource"]["S3Uri"] for entry in made["InputDataConfig"]}
    assert uris == {
        "train": "s3://bucket/records/",
        "val": "s3://bucket/val/",
        "weights": "s3://bucket/resnet50.npz",
        "config": "s3://bucket/out/mine-1/config/mine.py",
    }
    assert made["CheckpointConfig"]["S3Uri"] == "s3://bucket/earlier/checkpoints"
    assert made["ResourceConfig"] == {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 4, "VolumeSizeInGB": 500}
    assert made["EnableManagedSpotTraining"] is True
    assert made["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400, "MaxWaitTimeInSeconds": 5400 + 86400}
    assert made["AlgorithmSpecification"]["TrainingInputMode"] == "FastFile"
    assert made["TensorBoardOutputConfig"] == {
        "S3OutputPath": "s3://bucket/tensorboard",
        "LocalPath": "/opt/ml/output/tensorboard",
    }
    assert made["VpcConfig"] == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert made["Environment"] == {"AWSDET_TENSORBOARD": "1", "NCCL_DEBUG": "INFO"}


def test_warm_pool_and_waiting():
    assert create_training_job(job(keep_alive_minutes=30))["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 1800
    assert create_training_job(job(spot=True, max_hours=2, max_wait_hours=2))["StoppingCondition"] == {
        "MaxRuntimeInSeconds": 7200,
        "MaxWaitTimeInSeconds": 7200,
    }


@pytest.mark.parametrize("archive", ["coco.zip", "coco.tar", "coco.tar.gz", "coco.tgz"])
def test_an_archive_is_a_file_and_all_else_a_folder(archive):
    """An address without "/" at its end would also bring records_old/ and records.bak."""
    assert request.channels(job(train=f"s3://bucket/{archive}")) == {"train": f"s3://bucket/{archive}"}
    assert request.channels(job(train="s3://bucket/a.b")) == {"train": "s3://bucket/a.b/"}


MISTAKES = [
    ({"name": "a" * 64}, r"name: 'a+' has 64 characters; at most 63"),
    ({"name": "my_job"}, "name: 'my_job' may hold only letters, digits and hyphens"),
    ({"name": "job-"}, "no hyphen at either end"),
    ({"name": ""}, "name is missing"),
    ({"image": ""}, "image is missing"),
    ({"role": "Training"}, "role: 'Training' is not the ARN of an IAM role; write arn:aws:iam::ACCOUNT:role/NAME"),
    ({"role": "arn:aws:iam::111122223333:user/somebody"}, "is not the ARN of an IAM role"),
    ({"train": "records"}, "train: 'records' is not an address in S3; write s3://BUCKET/FOLDER"),
    ({"train": "s3://Bucket_/x"}, "train: .* is not an address in S3"),
    ({"train": "https://bucket.s3.amazonaws.com/x"}, "train: .* is not an address in S3"),
    ({"val": "s3:/bucket/x"}, "val: .* is not an address in S3"),
    ({"output": "s3://"}, "output: .* is not an address in S3"),
    ({"weights": "s3://bucket/folder/"}, "weights: .* is a folder; name one file of weights"),
    ({"checkpoints": "/opt/ml/checkpoints"}, "checkpoints: .* is not an address in S3"),
    ({"tensorboard": "tb"}, "tensorboard: 'tb' is not an address in S3"),
    ({"instance_type": "p4d.24xlarge"}, "InstanceType: 'p4d.24xlarge' is none of .* near it are ml.p4d.24xlarge"),
    ({"instances": 0}, "instances: 0; at least 1 is needed"),
    ({"max_hours": 0}, "max_hours: 0; it must be above 0"),
    ({"max_hours": 28 * 24 + 1}, "max_hours: 673; it must be above 0 and at most 672"),
    ({"max_hours": float("nan")}, "max_hours: nan"),
    ({"keep_alive_minutes": -1}, "keep_alive_minutes: -1"),
    ({"keep_alive_minutes": 361}, "KeepAlivePeriodInSeconds: 21660, the maximum is 21600"),
    ({"max_wait_hours": 30}, "max_wait_hours is for spot jobs only"),
    ({"spot": True, "max_hours": 30, "max_wait_hours": 29}, "max_wait_hours: 29 is less than max_hours, 30"),
    ({"spot": True, "keep_alive_minutes": 5}, "spot machines cannot be kept"),
    ({"subnets": ("subnet-1",)}, "subnets and security_groups belong together"),
    ({"security_groups": ("sg-1",)}, "subnets and security_groups belong together"),
    ({"input_mode": "Pipe"}, "input_mode: 'Pipe' is neither of File and FastFile"),
    ({"settings": {"data.batch_size": 4}}, "HyperParameters.data.batch_size: expected a string, got 4"),
    ({"settings": {"model.name": ""}}, "settings: model.name has no value"),
    ({"settings": {"model.name": "None"}}, "settings: model.name has no value"),
    ({"settings": {"config": "x.py"}}, "config is the name of the config file, not a setting"),
    ({"settings": {"data.train_records": "x"}}, "data.train_records is set by the address train"),
    ({"settings": {"config.data.train_records": "x"}}, "is set by the address train"),
    ({"settings": {"data.eval_records": "x"}, "val": "s3://bucket/v"}, "data.eval_records is set by the address val"),
    ({"settings": {"train.init_from": "x"}, "weights": "s3://bucket/w"}, "is set by the address weights"),
    ({"settings": {"a.b": "x" * 2501}}, "HyperParameters.a.b: 2501 characters, the maximum is 2500"),
    ({"settings": {f"a.k{k}": "1" for k in range(100)}}, "HyperParameters: 101 entries, the maximum is 100"),
    ({"environment": {"KEY": "x" * 513}}, "Environment.KEY: 513 characters"),
    ({"config": "other.py", "config_file": "s3://bucket/mine.py"}, "config: 'other.py' is not the name of the file"),
    ({"volume_gb": -1}, "VolumeSizeInGB: -1, the minimum is 0"),
]


@pytest.mark.parametrize("changes, text", MISTAKES)
def test_mistake_is_named_in_one_line(changes, text):
    with pytest.raises(UserError, match=text) as caught:
        create_training_job(job(**changes))
    assert "\n" not in str(caught.value)


def test_settings_that_no_channel_takes_are_free():
    settings = {"data.eval_records": "/opt/x", "train.init_from": "/opt/y"}
    assert create_training_job(job(settings=settings))["HyperParameters"].items() >= settings.items()


@pytest.mark.parametrize("config", ["configs/mask_rcnn_r50_fpn_1x.py", "mine.py", "_.py", "x" * 80 + ".py", "a--b.py"])
def test_default_names_are_valid_and_unique(config):
    names = [request.default_name(config) for _ in range(2)]
    for name in names:
        create_training_job(job(name=name))
        assert re.search(r"-\d{8}-\d{6}-\d{3}$", name)
    stem = config.rpartition("/")[2].removesuffix(".py")
    assert names[0].startswith(("awsdet-", re.sub("[^a-z0-9]+", "-", stem)[:20].strip("-")))


@pytest.mark.parametrize(
    "address, parts",
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://my.bucket-1/a/b c.npz", ("my.bucket-1", "a/b c.npz")),
    ],
)
def test_split_s3(address, parts):
    assert request.split_s3(address) == parts


@pytest.mark.parametrize("address", ["s3://b", "s3://bucket//x", "s3://a..b/x", "s3://-bucket/x", None, 3, ""])
def test_split_s3_refuses(address):
    with pytest.raises(UserError, match="^that: .* is not an address in S3"):
        request.split_s3(address, "that")


def test_region_of_image():
    assert request.region_of_image(IMAGE) == "us-east-1"
    assert request.region_of_image("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/x") == "cn-north-1"
    assert request.region_of_image("awsdet:latest") == ""
