"""What every host but the first one does: makes its data ready, lets the first host in by SSH, and ends as it ends."""

import queue
import shutil
import time

from container_base import JobFailed, Outcome, say
from container_job import start_preparing
from container_link import LOST, Interrupted, OtherHost
from container_ssh import SshServer, key_folder


def follow(ready, events, children):
    """Runs this host's part. Returns the Outcome that the first host tells.

    Raises JobFailed if the first host vanishes.
    """
    description = ready.description
    leader = description.hosts[0]
    hello = {"token": description.token, "host": description.current_host, "processes": ready.processes}
    deadline = time.monotonic() + ready.start_seconds
    try:
        link = OtherHost(leader, ready.link_port, hello, events, ready.lost_seconds, deadline)
    except Interrupted:
        say(f"told to stop before {leader} was there; nothing is lost")
        return Outcome(0)
    server = folder = None
    start_preparing(ready, events, children)
    prepared = False
    try:
        while True:
            try:
                event = events.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise JobFailed(f"the first host, {leader}, did not let this host in") from None
            if event.kind == "stop" and not event.host:
                say("told to stop; telling the first host")
                link.send("stop")
            elif event.kind == "welcome":
                try:
                    folder = key_folder()
                    server = SshServer(folder, ready.ssh_port, event.content["key"])
                except JobFailed as error:
                    link.send("failed", code=1, reason=str(error))
                deadline = time.monotonic() + 10**9  # from here on, silence is what tells that something is wrong
            elif event.kind == "prepared":
                prepared = True
            elif event.kind == "failed":
                link.send("failed", **event.content)
            elif event.kind == "done":
                return _ended(leader, event.content)
            elif event.kind == LOST:
                raise JobFailed(
                    f"the first host, {leader}, has vanished: its connection broke or it was silent for "
                    f"{ready.lost_seconds} s; see its log"
                )
            if prepared and server is not None:
                prepared = False
                say(f"ready; {leader} starts the processes of this host")
                link.send("ready")
    finally:
        link.close()
        if server is not None:
            for line in server.complaints():
                say(f"sshd: {line}")
            server.stop()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _ended(leader, content):
    code = int(content["code"])
    say(f"{leader} says that the job ended with code {code}")
    return Outcome(code, f"{leader}: {content['reason']}" if code else "")
