"""The hosts that an elastic job has at the moment: a program prints them, and horovodrun runs it each second."""

import atexit
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence

from awsdet.launch.hosts import Host, is_file, parse_lines
from awsdet.runtime.errors import UserError

_SECONDS = 30
_POLL_SECONDS = 2


def present_hosts(script: str, slots: int = 0) -> list[Host]:
    """The hosts that a discovery program prints now; may be empty.

    Args:
        script: path of the program. slots: for hosts that it prints without a number.

    Raises UserError if it cannot be run, fails, or prints something else than hosts.
    """
    try:
        done = subprocess.run([find_program(script)], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:  # ValueError: it printed no text
        raise UserError(
            f"--hosts-from={script} could not be run: {error}; its first line must be like #!/bin/sh"
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise UserError(f"--hosts-from={script} ended with code {done.returncode}: {said}")
    return parse_lines(done.stdout.splitlines(), f"--hosts-from={script}", slots)


def find_program(script: str) -> str:
    """The absolute path of a discovery program, maybe in the working folder. Raises UserError if there is none."""
    path = shutil.which(script) or shutil.which(os.path.join(os.curdir, script))
    if path is None:
        raise UserError(
            f"--hosts-from={script} is not a program that can be run; make it so with chmod +x, and give its path"
        )
    return os.path.abspath(path)


def wait_for_hosts(script: str, slots: int, least: int, seconds: float, show) -> list[Host]:
    """The hosts that a discovery program prints, as soon as they have at least `least` processes.

    Args:
        script, slots: see `present_hosts`. seconds: after which to give up. show: function that takes a line.

    Raises what `present_hosts` does, and UserError if there are too few after that time.
    """
    deadline, said = time.monotonic() + seconds, False
    while True:
        hosts = present_hosts(script, slots)
        count = sum(host.slots for host in hosts)
        if hosts and count >= least:
            return hosts
        if time.monotonic() > deadline:
            raise UserError(f"--hosts-from={script} names {count} of at least {least} processes after {seconds:.0f} s")
        if not said:
            show(f"waiting for hosts: {count} of at least {least} processes are there")
            said = True
        time.sleep(_POLL_SECONDS)


def write_discovery(text: str, hosts: Sequence[Host]) -> str:
    """Makes a discovery program for a host list, or for a file of hosts, which may be edited while the job runs.

    Returns its path; the program is removed when this process ends.
    """
    folder = tempfile.mkdtemp(prefix="awsdet-hosts-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = pathlib.Path(folder, "hosts.sh")
    if is_file(text):
        # "h1 slots=8  # a comment" becomes "h1:8".
        rules = "; ".join(
            (
                r"s/#.*//",
                r"s/[ \t]+max[-_]slots.*//",
                r"s/[ \t]*:[ \t]*/:/",
                r"s/[ \t]+(slots[ \t]*=[ \t]*)?([0-9]+).*/:\2/",
                r"s/[ \t]//g",
                "/^$/d",
            )
        )
        command = f"exec sed -E {shlex.quote(rules)} {shlex.quote(str(pathlib.Path(text).resolve()))}"
    else:
        command = "\n".join(f"echo {shlex.quote(f'{host.name}:{host.slots}')}" for host in hosts)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)
    return str(path)
