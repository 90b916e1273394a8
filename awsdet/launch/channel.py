"""The connection between the launcher and each of its ranks: JSON objects, one per line, over TCP.

A rank sends its output, its end, and a heart-beat; the launcher sends orders and a heart-beat. So each side notices
within seconds that the other one has vanished, whatever started the processes: horovodrun, mpirun or a scheduler.
"""

import hmac
import json
import queue
import socket
import struct
import threading
import time
from typing import Any, NamedTuple

BEAT_SECONDS = 2.0
_SEND_SECONDS = 5
LONGEST_MESSAGE = 1 << 20  # bytes; a peer that sends more is not one of ours


class Event(NamedTuple):
    """What happened on a connection.

    kind: "hello", "line", "exit", or "lost", which means that the connection ended. content: the message.
    """

    connection: "Connection"
    kind: str
    content: dict


class Connection:
    """One end of a connection. Several threads may send.

    Args:
        sock: a connected socket.
        send_seconds: the connection ends if the other side takes nothing for so long.

    Attributes: heard, the time (`time.monotonic`) at which the other side last sent something.
    """

    def __init__(self, sock: socket.socket, send_seconds: float = 30.0):
        self._socket, self._lock = sock, threading.Lock()
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", max(1, int(send_seconds)), 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = time.monotonic()
        self.peer = {}  # the hello of the other side

    def send(self, kind: str, **content: Any) -> bool:
        """Sends a message. Returns False if the connection has ended."""
        data = json.dumps({"kind": kind, **content}).encode() + b"\n"
        try:
            with self._lock:
                self._socket.sendall(data)
        except OSError:
            self.close()  # half a message may have been sent
            return False
        return True

    def messages(self):
        """Yields (kind, content) of all messages but heart-beats until the connection ends."""
        rest = b""
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            self.heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > LONGEST_MESSAGE:
                return
            for line in lines:
                try:
                    content = json.loads(line)
                    kind = content.pop("kind")
                except (ValueError, KeyError, AttributeError, TypeError):
                    return  # not one of ours
                if kind != "beat":
                    yield kind, content

    def local_address(self) -> str:
        """The address of this side."""
        return self._socket.getsockname()[0]

    def close(self) -> None:
        """Ends the connection, also if a thread is waiting for a message."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster
        self._socket.close()


class Server:
    """The launcher's side: accepts the connections of the ranks and puts what they say into `events`.

    Args:
        address: where to listen.
        token: what a rank must send first.

    Attributes: port; events, a `queue.Queue` of Event.
    """

    def __init__(self, address: str, token: str):
        self._token, self._connections, self._closed = token, [], False
        self.events: queue.Queue[Event] = queue.Queue()
        self._listener = socket.create_server((address, 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="launch-accept").start()
        threading.Thread(target=self._beat, daemon=True, name="launch-beat").start()

    def order(self, kind: str) -> None:
        """Sends an order to all ranks."""
        for connection in list(self._connections):
            connection.send(kind)

    def close(self) -> None:
        """Ends all connections."""
        self._closed = True
        self._listener.close()
        for connection in list(self._connections):
            connection.close()

    def _accept(self):
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            # A rank that does not read (its machine hangs) must not keep the others from their orders for long.
            connection = Connection(sock, _SEND_SECONDS)
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="launch-rank").start()

    def _serve(self, connection):
        messages = connection.messages()
        kind, content = next(messages, ("", {}))
        if kind != "hello" or not hmac.compare_digest(str(content.pop("token", "")).encode(), self._token.encode()):
            connection.close()
            return
        connection.peer = content
        self._connections.append(connection)
        self.events.put(Event(connection, kind, content))
        for kind, content in messages:
            self.events.put(Event(connection, kind, content))
        self._connections.remove(connection)
        self.events.put(Event(connection, "lost", {}))

    def _beat(self):
        while not self._closed:
            self.order("beat")
            time.sleep(BEAT_SECONDS)
