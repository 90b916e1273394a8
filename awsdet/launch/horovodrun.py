"""Runs horovodrun with a limit to the silence of its connections: `python -m awsdet.launch.horovodrun ARGUMENTS …`.

An elastic horovodrun tells rank 0 of each change of the hosts, and waits for the answer without a limit. If the machine
of rank 0 hangs at that moment, horovodrun would hang with it, and the other ranks would get no new places.
"""

import pathlib
import runpy
import socket
import sys

_SILENT_SECONDS = 10  # it tries three times


def program() -> pathlib.Path:
    """The horovodrun that belongs to this Python."""
    return pathlib.Path(sys.executable).with_name("horovodrun")


if __name__ == "__main__":
    socket.setdefaulttimeout(_SILENT_SECONDS)
    sys.argv[0] = str(program())
    runpy.run_path(sys.argv[0], run_name="__main__")
