"""Runs a training job on this host, as its first host or as one of the others."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import traceback
from typing import NamedTuple

from container_base import JobFailed, Outcome, clean_leftovers, job_paths, number, say, switch, write_failure
from container_data import check_channels, prepare_data
from container_description import read_description
from container_link import Event, new_events
from container_settings import read_settings

from awsdet.runtime.errors import UserError

_SAY_SECONDS = 10


class Ready(NamedTuple):
    """What a host knows before it meets the others."""

    paths: object
    description: object
    settings: object
    processes: int
    exports: bool
    start_seconds: int
    lost_seconds: int
    ssh_port: int
    link_port: int


def run_job():
    """Runs this host's part of the job. Returns the exit code, and leaves the reason of a failure."""
    paths = job_paths()
    try:
        outcome = _run(paths)
    except UserError as error:
        outcome = Outcome(2, " ".join(str(error).split()))
    except JobFailed as error:
        outcome = Outcome(1, " ".join(str(error).split()))
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome(1, f"a fault of awsdet itself: {type(error).__name__}: {error}")
    if outcome.code:
        say(f"{'a mistake to mend' if outcome.code == 2 else 'failed'}: {outcome.reason}")
        write_failure(paths, outcome.reason)
    return outcome.code


def _run(paths):
    events, children = new_events(), set()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: events.put(Event("", "stop", {})))
    description = read_description(paths)
    clean_leftovers(paths, description.name, owns_scratch=description.leads or not switch("AWSDET_SCRATCH_SHARED"))
    ready = _look(paths, description)
    use_persistent_kernel_cache()
    if len(description.hosts) > 1:
        wait_for_names(description.hosts, number("AWSDET_DNS_SECONDS", 300), events)
    try:
        if description.leads:
            from container_leader import lead

            return lead(ready, events, children)
        from container_worker import follow

        return follow(ready, events, children)
    finally:
        for child in list(children):
            child.kill()


def _look(paths, description):
    """Checks all that can be checked without the other hosts, so that a mistake costs no waiting."""
    check_channels(paths, description.channels)
    settings = read_settings(description.hyperparameters, description.channels, paths.channels / "config")
    count = number("AWSDET_PROCESSES_PER_HOST", 0) or count_gpus() or 1
    place = f"host {description.hosts.index(description.current_host) + 1} of {len(description.hosts)}"
    say(f"{description.current_host} is {place}; {count} processes per host; config {settings.file}")
    return Ready(
        paths,
        description,
        settings,
        count,
        switch("AWSDET_EXPORT", default=True),
        number("AWSDET_START_SECONDS", 7200),
        number("AWSDET_LOST_SECONDS", 30, least=5),
        number("AWSDET_SSH_PORT", 22),
        number("AWSDET_LINK_PORT", 7651),
    )


def start_preparing(ready, events, children):
    """Makes the data ready in another thread, which puts "prepared" or "failed" into `events`."""

    def work():
        try:
            converts = ready.description.leads or not switch("AWSDET_SCRATCH_SHARED")
            channels = set(ready.description.channels)
            overrides = prepare_data(ready.paths, channels, ready.settings.config, converts, children)
            events.put(Event("", "prepared", {"overrides": overrides}))
        except (UserError, JobFailed) as error:
            code = 2 if isinstance(error, UserError) else 1
            events.put(Event("", "failed", {"code": code, "reason": " ".join(str(error).split())}))
        except Exception as error:
            traceback.print_exc()
            events.put(Event("", "failed", {"code": 1, "reason": f"{type(error).__name__}: {error}"}))

    threading.Thread(target=work, daemon=True, name="prepare").start()


def wait_for_names(hosts, seconds, events):
    """Waits until all hosts have addresses, which on SageMaker takes a while. Raises JobFailed if one gets none.

    A stop that comes meanwhile stays in `events`, and ends the waiting.
    """
    start = time.monotonic()
    say_at = start + _SAY_SECONDS
    missing = list(hosts)
    while events.empty():
        missing = [host for host in missing if not _has_address(host)]
        waited = time.monotonic() - start
        if not missing:
            return
        if waited > seconds:
            raise JobFailed(f"no address for {', '.join(missing)} after {waited:.0f} s; these hosts have not started")
        if time.monotonic() > say_at:
            say(f"waiting for the addresses of {', '.join(missing)} ({waited:.0f} s)")
            say_at += _SAY_SECONDS
        time.sleep(1)


def _has_address(host):
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def count_gpus():
    """The number of GPUs that nvidia-smi lists; 0 without it. Raises JobFailed if it is there and lists none.

    An image for GPUs on a machine whose driver fails would train on the CPU otherwise, for days and for money.
    """
    if shutil.which("nvidia-smi") is None:
        return 0
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    if done.returncode or not count:
        said = " ".join((done.stderr or done.stdout).split()) or "nothing"
        raise JobFailed(
            f"nvidia-smi lists no GPU (exit code {done.returncode}: {said}); the driver or a GPU of this host is "
            "broken. To train all the same, set AWSDET_PROCESSES_PER_HOST"
        )
    return count


def use_persistent_kernel_cache():
    """Keeps compiled CUDA kernels in the warm pool's cache, if the job has one.

    TensorFlow 2.15 has no code for the newest GPUs, which compile its kernels for up to half an hour at first.
    """
    folder = os.environ.get("SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY")
    if folder and os.path.isdir(folder):
        os.environ["CUDA_CACHE_PATH"] = os.path.join(folder, "cuda")
        say(f"compiled CUDA kernels are kept in {os.environ['CUDA_CACHE_PATH']} for the next job of this warm pool")
