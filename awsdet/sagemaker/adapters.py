"""The same job through the SageMaker SDK: an Estimator of version 2, or a ModelTrainer of version 3.

    adapters.estimator(job).fit(request.channels(job), job_name=job.name)    # version 2
    adapters.trainer(job).train(adapters.input_data(job))                    # version 3; it adds the time to the name

Both send what `request.create_training_job(job)` returns, and check it first. The image starts our own entry point, so
neither gets a script or a distribution; version 2 would drop its `distribution` without a word.
"""

import importlib.metadata

from awsdet.runtime.errors import UserError
from awsdet.sagemaker import metrics, request
from awsdet.sagemaker.request import CHECKPOINTS, TENSORBOARD, Job


def sdk_version() -> int:
    """The version of the SageMaker SDK that is installed, 2 or 3. Raises UserError if there is none."""
    try:
        version = int(importlib.metadata.version("sagemaker").partition(".")[0])
    except importlib.metadata.PackageNotFoundError:
        raise UserError("the SageMaker SDK is not installed; install it with: pip install sagemaker") from None
    if version not in (2, 3):
        raise UserError(f"version {version} of the SageMaker SDK is not known; 2 and 3 are")
    return version


def estimator(job: Job, session=None):
    """An Estimator of SDK version 2.

    Args:
        job: the job.
        session: sagemaker.Session; None: the SDK makes one.

    Raises UserError if a field of the job is wrong.
    """
    from sagemaker.debugger import TensorBoardOutputConfig
    from sagemaker.estimator import Estimator

    request.create_training_job(job)
    tensorboard = job.tensorboard and TensorBoardOutputConfig(job.tensorboard, TENSORBOARD)
    return Estimator(
        image_uri=job.image,
        role=job.role,
        instance_count=job.instances,
        instance_type=job.instance_type,
        volume_size=job.volume_gb,
        keep_alive_period_in_seconds=request.keep_alive_seconds(job) or None,
        max_run=request.max_seconds(job),
        use_spot_instances=job.spot,
        max_wait=request.max_wait_seconds(job) if job.spot else None,
        input_mode=job.input_mode,
        output_path=job.output,
        checkpoint_s3_uri=request.checkpoints(job),
        checkpoint_local_path=CHECKPOINTS,
        tensorboard_output_config=tensorboard or None,
        hyperparameters=request.hyperparameters(job),
        metric_definitions=metrics.definitions(),
        subnets=list(job.subnets) or None,
        security_group_ids=list(job.security_groups) or None,
        environment=request.environment(job) or None,
        disable_profiler=True,
        debugger_hook_config=False,  # otherwise the SDK switches on a debugger that was not asked for
        sagemaker_session=session,
    )


def trainer(job: Job, session=None):
    """A ModelTrainer of SDK version 3. It names the job itself: job.name and the time.

    Args:
        job: the job.
        session: Session of the SDK; None: the SDK makes one.

    Raises UserError if a field of the job is wrong.
    """
    from sagemaker.core.shapes import MetricDefinition, TensorBoardOutputConfig
    from sagemaker.train import ModelTrainer
    from sagemaker.train import configs as parts

    request.create_training_job(job)
    networking = parts.Networking(subnets=list(job.subnets), security_group_ids=list(job.security_groups))
    made = ModelTrainer(
        training_image=job.image,
        role=job.role,
        base_job_name=job.name,
        compute=parts.Compute(
            instance_type=job.instance_type,
            instance_count=job.instances,
            volume_size_in_gb=job.volume_gb,
            keep_alive_period_in_seconds=request.keep_alive_seconds(job) or None,
            enable_managed_spot_training=job.spot,
        ),
        networking=networking if job.subnets else None,
        stopping_condition=parts.StoppingCondition(
            max_runtime_in_seconds=request.max_seconds(job),
            max_wait_time_in_seconds=request.max_wait_seconds(job) if job.spot else None,
        ),
        output_data_config=parts.OutputDataConfig(s3_output_path=job.output),
        checkpoint_config=parts.CheckpointConfig(s3_uri=request.checkpoints(job), local_path=CHECKPOINTS),
        training_input_mode=job.input_mode,
        environment=request.environment(job),
        hyperparameters=request.hyperparameters(job),
        sagemaker_session=session,
    ).with_metric_definitions(
        [MetricDefinition(name=found["Name"], regex=found["Regex"]) for found in metrics.definitions()]
    )
    if job.tensorboard:
        made = made.with_tensorboard_output_config(
            TensorBoardOutputConfig(s3_output_path=job.tensorboard, local_path=TENSORBOARD)
        )
    return made


def input_data(job: Job) -> list:
    """The channels of a job for `ModelTrainer.train`.

    As data sources, since the SDK reads plain addresses with input mode File whatever the job's mode is.
    """
    from sagemaker.core.shapes import S3DataSource
    from sagemaker.train.configs import InputData

    return [
        InputData(
            channel_name=name,
            data_source=S3DataSource(
                s3_data_type="S3Prefix", s3_uri=address, s3_data_distribution_type="FullyReplicated"
            ),
        )
        for name, address in request.channels(job).items()
    ]
