"""The hosts that an elastic job offers to horovodrun: those that its discovery program prints, and that answer.

horovodrun takes every host that it is shown. As soon as it does, all ranks wait for the ranks of that host, and if they
do not come, because the machine hangs or is still starting, the job is lost. So a host is shown only once it can run a
rank, and one that was lost is not shown again before it answers.
"""

import os
import pathlib
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable

from awsdet.launch import remote
from awsdet.launch.discovery import present_hosts
from awsdet.launch.hosts import host_list
from awsdet.launch.remote import Ssh
from awsdet.runtime.errors import UserError

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 5.0  # until a host that does not answer is asked again
_ANSWER_SECONDS = 20.0
_TRIAL = (sys.executable, "-c", "import awsdet.launch.rank")


class Roster(threading.Thread):
    """Keeps a list of hosts up to date, in a thread of its own, until `close`.

    Args:
        script: path of the discovery program. slots: for hosts that it prints without a number.
        answering: names of the hosts that have been checked already.
        ssh: how to reach hosts.
        say: function that takes a line for the user.

    Attributes: program, path of the program that prints the list.
    """

    def __init__(self, script: str, slots: int, answering: Iterable[str], ssh: Ssh, say: Callable[[str], None]):
        super().__init__(name="launch-roster", daemon=True)
        self._script, self._slots, self._ssh, self._say = script, slots, ssh, say
        self._answering, self._asked, self._complaints = set(answering), set(), {}
        self._lock, self._done = threading.Lock(), threading.Event()
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="awsdet-roster-"))
        self._list, self.program = self._folder / "hosts", str(self._folder / "hosts.sh")
        pathlib.Path(self.program).write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(self._list))}\n")
        os.chmod(self.program, 0o755)
        self._list.write_text("")
        self.update()

    def lost(self, name: str) -> None:
        """Takes a host off the list until it answers."""
        with self._lock:
            self._answering.discard(name)

    def close(self) -> None:
        """Ends the thread and removes the list. Nothing is said from then on."""
        with self._lock:
            self._done.set()
        if self.is_alive():
            self.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self) -> None:
        """The thread's loop."""
        while not self._done.wait(_LOOK_SECONDS):
            self.update()

    def update(self) -> None:
        """Looks at the discovery program once, writes the list, and begins to ask the hosts that are missing in it."""
        try:
            hosts = present_hosts(self._script, self._slots)
        except UserError as error:
            self._complain("", f"{error}; the hosts stay as they are")
            return
        self._complaints.pop("", None)
        with self._lock:
            self._answering &= {host.name for host in hosts}
            shown = [host for host in hosts if host.name in self._answering]
            silent = [host.name for host in hosts if host.name not in self._answering | self._asked]
            self._asked.update(silent)
        for name in silent:
            # Not in a pool: its threads would keep the launcher from ending until a host that hangs is given up.
            threading.Thread(target=self._ask, args=(name,), daemon=True, name=f"launch-ask-{name}").start()
        text = "".join(f"{host_list([host])}\n" for host in shown)
        if text != self._list.read_text():
            fresh = self._list.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self._list)

    def _ask(self, name):
        """Puts a host on the list if it can run a rank; otherwise says why not, and lets it be asked again later."""
        answer = remote.run(name, _TRIAL, self._ssh, _ANSWER_SECONDS)
        if answer.code:
            said = (answer.err.strip() or answer.out.strip() or f"code {answer.code}").splitlines()[-1]
            answer = answer._replace(error=f"cannot run awsdet ({said})")
        if answer.code == 0:
            self._complaints.pop(name, None)
            with self._lock:
                if self._done.is_set():  # the job's last line says how it ended
                    return
                self._say(f"host {name} answers: it takes part from now on")
        elif not self._done.is_set():
            self._complain(name, f"host {name} {answer.error}; it takes part as soon as it answers")
            self._done.wait(_AGAIN_SECONDS)
        with self._lock:
            self._asked.discard(name)
            if answer.code == 0:
                self._answering.add(name)

    def _complain(self, about, text):
        """Says a line once, not each time."""
        if self._complaints.get(about) != text:
            self._complaints[about] = text
            self._say(text)
