"""Starts jobs through the SageMaker SDK that is installed, with moto as AWS, and prints what the SDK sent.

    python tests/sagemaker/sdk_request.py '[{"spot": true}, …]'     changes of the job of tests/sagemaker/job.py

Run it with the Python of an SDK's environment, with the repository on PYTHONPATH. The last line is a JSON list; for
each job it has {"sdk": 2 or 3, "sent": arguments of CreateTrainingJob, "ours": those that awsdet itself would send}.
"""

import json
import sys

import boto3
from moto import mock_aws

from awsdet.sagemaker import adapters, request


def send(changes):
    """The dict that is printed."""
    from tests.sagemaker.job import job

    session, sent = boto3.session.Session(), []
    session.events.register(
        "provide-client-params.sagemaker.CreateTrainingJob", lambda params, **_: sent.append(params)
    )
    role = session.client("iam").get_role(RoleName="Training")["Role"]["Arn"]
    ours = job(role=role, **changes)
    version = adapters.sdk_version()
    if version == 2:
        from sagemaker import Session

        adapters.estimator(ours, Session(session)).fit(request.channels(ours), wait=False, job_name=ours.name)
    else:
        from sagemaker.core.helper.session_helper import Session

        adapters.trainer(ours, Session(session)).train(adapters.input_data(ours), wait=False)
    assert len(sent) == 1
    return {"sdk": version, "sent": sent[0], "ours": request.create_training_job(ours)}


if __name__ == "__main__":
    with mock_aws():
        boto3.client("iam").create_role(RoleName="Training", AssumeRolePolicyDocument="{}")
        results = [send(changes) for changes in json.loads(sys.argv[1])]
    print(json.dumps(results))
