"""Runs horovodrun without two of its faults: `python -m awsdet.launch.horovodrun ARGUMENTS …`.

An elastic horovodrun tells rank 0 of each change of the hosts, and waits for the answer without a limit. If the machine
of rank 0 hangs at that moment, horovodrun would hang with it, and the other ranks would get no new places.

If a host is lost, and so few processes are left that the job must wait for it to come back, horovodrun takes the
processes that the host had for processes that run. It starts no new ones, and all ranks would wait for them for ever.
"""

import pathlib
import runpy
import socket
import sys

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


if __name__ == "__main__":
    socket.setdefaulttimeout(_SILENT_SECONDS)
    forget_lost_hosts()
    sys.argv[0] = str(program())
    runpy.run_path(sys.argv[0], run_name="__main__")
