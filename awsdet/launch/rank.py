"""Runs the command of one rank and reports to the launcher: `python -m awsdet.launch.rank COMMAND …`.

The engine (horovodrun or mpirun) starts this program on each host. It connects to the launcher, starts the command in
a process group of its own, passes on what it prints and how it ends, and obeys the orders "stop" (SIGTERM, so that the
command can save) and "kill". If the launcher vanishes, it ends the command: nothing stays behind on any host.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil

from awsdet.launch import network
from awsdet.launch.channel import BEAT_SECONDS, Connection
from awsdet.launch.orphans import end_with_parent

# Variables by which the launcher tells this program where it is, what to say first, and after how much silence it is
# gone; its working folder; and the user's NCCL_SOCKET_IFNAME, which horovodrun overwrites.
ADDRESS, TOKEN, LOST_SECONDS = "AWSDET_LAUNCHER", "AWSDET_LAUNCH_TOKEN", "AWSDET_LAUNCH_LOST_SECONDS"
FOLDER, NCCL_INTERFACE = "AWSDET_LAUNCH_FOLDER", "AWSDET_LAUNCH_NCCL_SOCKET_IFNAME"
_CONNECT_SECONDS = 20
_GRACE_SECONDS = 5  # for the command to end after SIGTERM once the launcher is gone
_LONGEST_LINE = 1 << 16  # characters; longer lines are sent in pieces
_RANKS = ("HOROVOD_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(command):
    """Runs the command. Returns its exit code; 128 + the signal that ended it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)  # the launcher has blocked them for the engine
    connection = _connect()
    # The launcher says when to end, and lets the command save first. Schedulers send these signals to every process.
    for number in ENDING:
        signal.signal(number, lambda *_: None)
    try:
        process = _start(command, connection.local_address())
    except OSError as error:
        # Another folder would do for the start, and the run would then be written to a place that nobody expects.
        _say_hello(connection, 0)
        connection.send("line", stream="err", text=f"awsdet launch: {error.filename}: {error.strerror} on this host")
        connection.send("exit", code=2)
        return 2
    _say_hello(connection, process.pid)
    readers = [
        threading.Thread(target=_pass_on, args=(connection, stream, name), daemon=True)
        for name, stream in (("out", process.stdout), ("err", process.stderr))
    ]
    lost = threading.Event()
    others = [
        threading.Thread(target=_obey, args=(connection, process, lost), daemon=True),
        threading.Thread(target=_watch, args=(connection, process, lost), daemon=True),
    ]
    for thread in [*readers, *others]:
        thread.start()
    code = process.wait()
    _kill(process)  # what the command may have left in its group
    for thread in readers:
        thread.join(_GRACE_SECONDS)
    gone = lost.is_set()  # asked before the connection is closed here, which `_obey` takes for the launcher's end
    gone = not connection.send("exit", code=code) or gone
    connection.close()
    if gone:
        _kill_daemon()
    return code if code >= 0 else 128 - code


def _connect():
    address, _, port = os.environ[ADDRESS].rpartition(":")
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            sock = socket.create_connection((address, int(port)), timeout=BEAT_SECONDS)
            return Connection(sock, float(os.environ[LOST_SECONDS]))
        except OSError as error:
            if time.monotonic() > deadline:
                name = socket.gethostname()
                sys.exit(
                    f"awsdet launch: {name} cannot reach the launcher at {address}:{port} ({error}); check the firewall"
                )
            time.sleep(0.5)


def _start(command, address):
    ours = (ADDRESS, TOKEN, LOST_SECONDS, FOLDER, NCCL_INTERFACE)
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    interface = network.interface_of(address)
    if interface:
        # horovodrun gives all hosts the name of the launcher's interface, which may have another name on this one.
        environment["HOROVOD_GLOO_IFACE"] = interface
        environment["NCCL_SOCKET_IFNAME"] = os.environ.get(NCCL_INTERFACE, interface)
    environment["PYTHONUNBUFFERED"] = "1"
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=os.environ[FOLDER],
        start_new_session=True,
        preexec_fn=end_with_parent(),
    )


def _say_hello(connection, pid):
    rank = next((int(os.environ[name]) for name in _RANKS if name in os.environ), -1)
    connection.send(
        "hello",
        token=os.environ[TOKEN],
        rank=rank,
        host=os.environ.get("HOROVOD_HOSTNAME") or socket.gethostname(),
        pid=pid,
    )


def _pass_on(connection, stream, name):
    """Sends what the command prints, line by line."""
    with stream:
        for line in iter(lambda: stream.readline(_LONGEST_LINE), b""):
            connection.send("line", stream=name, text=line.decode(errors="replace").rstrip("\r\n"))


def _obey(connection, process, lost):
    """Does what the launcher orders, until it is gone; then ends the command and sets `lost`."""
    for kind, _ in connection.messages():
        if kind == "stop":
            _signal(process, signal.SIGTERM)
        elif kind == "kill":
            _kill(process)
    lost.set()
    _end(process)


def _watch(connection, process, lost):
    """Sends heart-beats, and ends the command and sets `lost` if those of the launcher stay away."""
    limit = float(os.environ[LOST_SECONDS])
    while process.poll() is None:
        connection.send("beat")
        if time.monotonic() - connection.heard > limit:
            lost.set()
            connection.close()
            _end(process)
            return
        time.sleep(BEAT_SECONDS)


def _end(process):
    """Tells the command to end, and kills it if it does not."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    _kill(process)


def _signal(process, number):
    if process.poll() is None:
        process.send_signal(number)


def _kill(process):
    """Kills the command with everything that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _kill_daemon():
    """Ends Open MPI's daemon on this host, which waits a quarter of an hour if its own connection is cut."""
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(os.getppid())
        if parent.name() == "orted":
            parent.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
