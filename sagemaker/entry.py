"""The entry point of the awsdet image: `docker run IMAGE train` or `serve`, which is how SageMaker starts it.

    train           (or nothing) runs the training job that /opt/ml/input/config describes; the same on every host
    serve           answers requests with the exported model in /opt/ml/model, on port 8080 (container_serve)
    COMMAND …       any other arguments are a command, as in `docker run IMAGE awsdet doctor`

The hosts of a job are sorted by their numbers. The first one leads: it starts `awsdet launch` over all hosts and tells
each of the others how it ended (container_leader, container_worker, container_link). container_settings says what the
hyper-parameters mean, container_data what the channels hold, container_results what is left at the end.

Exit codes: 0 done or stopped, 1 failed, 2 a mistake to mend; /opt/ml/output/failure holds the reason.

Environment variables, all optional:
    AWSDET_SM_ROOT             instead of /opt/ml
    AWSDET_HOME                folder that holds configs/; default: the one above this file
    AWSDET_PYTHON              the Python that has awsdet, if another one started this file
    AWSDET_PROCESSES_PER_HOST  default: the number of GPUs, or 1 without nvidia-smi; if that lists none, the job fails
    AWSDET_ENGINE              gloo or mpi, see `awsdet launch --help`
    AWSDET_SSH_PORT            default 22
    AWSDET_LINK_PORT           of the first host, for the words between the hosts; default 7651
    AWSDET_DNS_SECONDS         how long to wait until all hosts have addresses; default 300
    AWSDET_START_SECONDS       how long the hosts may take to be ready to train (converting data); default 7200
    AWSDET_LOST_SECONDS        after this silence another host counts as lost; default 30
    AWSDET_SCRATCH             folder for extracted archives and converted records; default /opt/ml/scratch
    AWSDET_SCRATCH_SHARED      1: all hosts see the same scratch folder, so only the first one converts
    AWSDET_EXTRACT_LIMIT_GB    most that archives may extract to; default: the free disk space less 1 GB
    AWSDET_TENSORBOARD         1: copy event files to /opt/ml/output/tensorboard even if that folder does not exist
    AWSDET_EXPORT              0: leave weights only, no exported model, which an endpoint would need
    AWSDET_SERVE_FLAGS         flags of `awsdet serve` for an endpoint, such as --timeout=30
    SAGEMAKER_BIND_TO_PORT     the port of an endpoint instead of 8080; SageMaker sets it for a pipeline of containers
"""

import importlib.util
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def main(arguments):
    """Runs the job, the server or the command. Returns the exit code."""
    serves = arguments == ["serve"]
    if arguments and arguments != ["train"] and not serves and not arguments[0].startswith("--"):
        return run_command(arguments)
    if importlib.util.find_spec("awsdet") is None:
        return restart_with_awsdet(arguments)
    if serves:
        import container_serve

        return container_serve.run_server()
    import container_job

    if arguments and arguments != ["train"]:
        print(f"awsdet job: {len(arguments)} arguments left out; hyperparameters.json says the same", flush=True)
    return container_job.run_job()


def run_command(command):
    """Becomes the command. Returns only if it cannot be started."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"awsdet image: {command[0]} cannot be started: {error.strerror}; try awsdet doctor", file=sys.stderr)
    return 2


def restart_with_awsdet(arguments):
    """Becomes the Python of the image: SageMaker's toolkit starts this file with a Python of its own."""
    python = os.environ.get("AWSDET_PYTHON") or str(HERE.parent / ".venv" / "bin" / "python")
    if not os.access(python, os.X_OK) or os.environ.get("AWSDET_RESTARTED"):
        print(f"awsdet job: {python} has no awsdet; name a Python that has it by AWSDET_PYTHON", file=sys.stderr)
        return 2
    os.environ["AWSDET_RESTARTED"] = "1"
    os.execv(python, [python, str(HERE / "entry.py"), *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
