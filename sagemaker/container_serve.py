"""Serves the exported model of /opt/ml/model: `docker run IMAGE serve`, which is how SageMaker starts an endpoint.

SageMaker unpacks the model's archive into /opt/ml/model. In that of a training job the exported model is in `exported`,
see container_results; an archive of one's own may have it in any folder, or at its top.
"""

import os
import shlex
import sys

from container_base import awsdet, job_paths

from awsdet.export import contract
from awsdet.runtime.errors import UserError


def run_server():
    """Becomes `awsdet serve`. Returns the exit code if there is nothing to serve, or it cannot be started."""
    try:
        command = awsdet("serve", "--sagemaker", f"--model={find_exported(job_paths().model)}", *_flags())
    except UserError as error:
        print(f"awsdet endpoint: {error}", file=sys.stderr, flush=True)
        return 2
    os.execv(command[0], command)


def find_exported(folder):
    """The folder of the exported model: `folder` or one in it. Raises UserError if there is none, or several."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    found = [folder] if contract.find(folder) else [path for path in inside if contract.find(path)]
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise UserError(f"{folder} holds several exported models ({listed}); pack one of them into model.tar.gz")
    if found:
        return found[0]
    pack = "awsdet export --checkpoint=RUN --output=exported; tar -czf model.tar.gz exported"
    if (folder / "weights.safetensors").is_file():
        raise UserError(
            f"{folder} holds the weights of a training job and no exported model: the job was stopped, ran with "
            f"AWSDET_EXPORT=0, or its log says why. Export its checkpoint and deploy that archive: {pack}"
        )
    raise UserError(f"{folder} holds no exported model; deploy the model.tar.gz of a training job, or make one: {pack}")


def _flags():
    """What AWSDET_SERVE_FLAGS says. Raises UserError."""
    text = os.environ.get("AWSDET_SERVE_FLAGS", "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"AWSDET_SERVE_FLAGS={text} cannot be read ({error}); write it as in a shell") from None
