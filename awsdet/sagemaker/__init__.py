"""The user's side of SageMaker: a training job as a value, as a request, and what can be done with one that runs.

    job = Job(name="mine-1", image=…, role=…, config="configs/mask_rcnn_r50_fpn_1x.py", …)
    request.create_training_job(job)        # the request as plain data, checked against every limit of the service
    jobs.create(clients, …), jobs.follow(clients, "mine-1", print)
    downloads.download(clients, "mine-1", "runs/mine-1")
    adapters.estimator(job), adapters.trainer(job)   # the same job through the SageMaker SDK, version 2 or 3

The container's side is the folder sagemaker/ of the repository. Both share `metrics`, the format of the metric lines.
Only boto3 is needed here: no TensorFlow.
"""
