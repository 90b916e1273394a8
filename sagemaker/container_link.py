"""The words between the hosts of a job: JSON objects, one per line, over one TCP connection per host to the first host.

    from a host                                  from the first host
    hello    token, host, processes              welcome   key: the public half of the job's SSH key
    ready    its data are ready, sshd listens    done      code, reason: how the job ended
    failed   code, reason                        beat
    stop     it was told to stop (SIGTERM)
    bye      it has heard how the job ended
    beat     every 2 s, in both directions

A host that is silent for `lost_seconds`, or whose connection breaks, counts as lost. What happens is put into a
`SimpleQueue` of Event, in which signal handlers may put things too.
"""

import hmac
import queue
import socket
import threading
import time
from typing import NamedTuple

from container_base import JobFailed, say

from awsdet.launch.channel import BEAT_SECONDS, Connection

_HELLO_SECONDS = 10
_BYE_SECONDS = 10
_SAY_SECONDS = 15
LOST = "lost"


class Interrupted(Exception):
    """This host was told to stop before it had reached the first host."""


class Event(NamedTuple):
    """Something that happened. host: who said it, "" for this host. content: dict."""

    host: str
    kind: str
    content: dict


class FirstHost:
    """The first host's end.

    Args:
        port: where it listens. token: of this job (see Description). others: names of the other hosts.
        welcome: dict that each host is told first. events: SimpleQueue of Event. lost_seconds: see above.
    """

    def __init__(self, port, token, others, welcome, events, lost_seconds):
        self._token, self._others, self._welcome = token, set(others), welcome
        self._events, self._lost_seconds = events, lost_seconds
        self._lock, self._connections, self._closed = threading.Lock(), {}, False
        self._outcome = None
        self.processes = {}  # host -> how many processes it can run
        try:
            self._listener = socket.create_server(("", port), backlog=1024)
        except OSError as error:
            raise JobFailed(f"port {port} cannot be used ({error.strerror}); set AWSDET_LINK_PORT") from error
        threading.Thread(target=self._accept, daemon=True, name="link-accept").start()
        threading.Thread(target=self._beat, daemon=True, name="link-beat").start()

    @property
    def missing(self):
        """The hosts that have not announced themselves, or are lost."""
        return sorted(self._others - set(self._connections))

    def finish(self, code, reason):
        """Tells all hosts how the job ended, also those that announce themselves now, and waits until they know."""
        with self._lock:
            self._outcome = {"code": code, "reason": reason}
            waiting = dict(self._connections)
        for connection in waiting.values():
            connection.send("done", **self._outcome)
        deadline = time.monotonic() + _BYE_SECONDS
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.05)
        self._closed = True
        self._listener.close()
        for connection in list(self._connections.values()):
            connection.close()

    def _accept(self):
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True, name="link-host").start()

    def _serve(self, sock):
        connection = Connection(sock)
        # Whoever does not introduce itself is cut off.
        timer = threading.Timer(_HELLO_SECONDS, connection.close)
        timer.start()
        messages = connection.messages()
        kind, hello = next(messages, ("", {}))
        timer.cancel()
        host = hello.get("host")
        # As bytes: compare_digest refuses text beyond ASCII, which a stranger may send.
        given = str(hello.get("token", "")).encode(errors="replace")
        known = hmac.compare_digest(given, self._token.encode()) and isinstance(host, str) and host in self._others
        if kind != "hello" or not known or host in self._connections:
            connection.close()
            return
        self.processes[host] = hello.get("processes")
        with self._lock:
            self._connections[host] = connection
            connection.send("welcome", **self._welcome)
            if self._outcome:
                connection.send("done", **self._outcome)
        for kind, content in messages:
            if kind == "bye":
                break
            self._events.put(Event(host, kind, content))
        connection.close()
        del self._connections[host]
        self._events.put(Event(host, LOST, {}))

    def _beat(self):
        while not self._closed:
            for connection in list(self._connections.values()):
                connection.send("beat")
                if time.monotonic() - connection.heard > self._lost_seconds:
                    connection.close()
            time.sleep(BEAT_SECONDS)


class OtherHost:
    """The end of any other host.

    Args:
        leader: name of the first host. port: its port. hello: dict that introduces this host. events: SimpleQueue of
            Event. lost_seconds: see above. deadline: time (`time.monotonic`) until which it tries to connect.

    Raises JobFailed if the first host cannot be reached, Interrupted if something comes into `events` meanwhile.
    """

    def __init__(self, leader, port, hello, events, lost_seconds, deadline):
        self._leader, self._events, self._lost_seconds = leader, events, lost_seconds
        self._connection = self._connect(port, deadline)
        self._connection.send("hello", **hello)
        threading.Thread(target=self._read, daemon=True, name="link-read").start()
        threading.Thread(target=self._beat, daemon=True, name="link-beat").start()

    def send(self, kind, **content):
        """Says something to the first host. May be called in a signal handler."""
        threading.Thread(target=self._connection.send, args=(kind,), kwargs=content).start()

    def close(self):
        """Says bye and ends the connection."""
        self._connection.send("bye")
        self._connection.close()

    def _connect(self, port, deadline):
        say_at = time.monotonic() + _SAY_SECONDS
        while True:
            try:
                return Connection(socket.create_connection((self._leader, port), timeout=5))
            except OSError as error:
                now = time.monotonic()
                if not self._events.empty():
                    raise Interrupted from None
                if now > deadline:
                    raise JobFailed(
                        f"the first host, {self._leader}, cannot be reached at port {port}: {error}"
                    ) from None
                if now > say_at:
                    say(f"waiting for the first host, {self._leader}, at port {port} ({error})")
                    say_at = now + _SAY_SECONDS
                time.sleep(0.5)

    def _read(self):
        for kind, content in self._connection.messages():
            self._events.put(Event(self._leader, kind, content))
        self._events.put(Event(self._leader, LOST, {}))

    def _beat(self):
        while True:
            self._connection.send("beat")
            if time.monotonic() - self._connection.heard > self._lost_seconds:
                self._connection.close()
                return
            time.sleep(BEAT_SECONDS)


def new_events():
    """A queue that threads and signal handlers of one host put Events into."""
    return queue.SimpleQueue()
