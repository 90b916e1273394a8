"""Runs horovodrun without three of its faults: `python -m awsdet.launch.horovodrun ARGUMENTS …`.

Before it starts anything, horovodrun loads Horovod and TensorFlow in a process of their own, only to see whether Gloo
is there. That takes three seconds of every job.

An elastic horovodrun tells rank 0 of each change of the hosts, and waits for the answer without a limit. If the machine
of rank 0 hangs at that moment, horovodrun would hang with it, and the other ranks would get no new places.

If a host is lost, and so few processes are left that the job must wait for it to come back, horovodrun takes the
processes that the host had for processes that run. It starts no new ones, and all ranks would wait for them for ever.
"""

import pathlib
import runpy
import socket
import sys

from awsdet.launch.horovod_library import GLOO, built_with

_SILENT_SECONDS = 10  # it tries three times


def program() -> pathlib.Path:
    """The horovodrun that belongs to this Python."""
    return pathlib.Path(sys.executable).with_name("horovodrun")


def forget_lost_hosts() -> None:
    """Has an elastic horovodrun forget which processes a host had that it has taken off its list."""
    from horovod.runner.elastic.driver import ElasticDriver

    resume = ElasticDriver.resume

    def forget_and_resume(driver):
        known = driver.host_assignments
        for host in [name for name in known if driver._host_manager.is_blacklisted(name)]:
            del known[host]
        resume(driver)

    ElasticDriver.resume = forget_and_resume


def look_for_gloo_in_library() -> None:
    """Has horovodrun look for Gloo in the file of Horovod's library."""
    from horovod.runner import launch

    from_library = built_with(GLOO)
    if from_library is not None:  # otherwise it finds out by itself, and says what is missing
        launch.gloo_built = lambda verbose=False: from_library


if __name__ == "__main__":
    socket.setdefaulttimeout(_SILENT_SECONDS)
    look_for_gloo_in_library()
    forget_lost_hosts()
    sys.argv[0] = str(program())
    runpy.run_path(sys.argv[0], run_name="__main__")
