"""A job that the tests of SageMaker's user side share. Account and bucket are made up."""

from awsdet.sagemaker.request import Job

REGION = "us-east-1"
ROLE = "arn:aws:iam::111122223333:role/Training"
IMAGE = f"111122223333.dkr.ecr.{REGION}.amazonaws.com/awsdet:1"


def job(**changes):
    """A Job with everything that is required."""
    plain = Job(
        name="mine-1",
        image=IMAGE,
        role=ROLE,
        config="configs/mask_rcnn_r50_fpn_1x.py",
        train="s3://bucket/records",
        output="s3://bucket/out",
        instance_type="ml.p4d.24xlarge",
    )
    return plain._replace(**changes)
