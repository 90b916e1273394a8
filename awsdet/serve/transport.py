"""HTTP/1.1 over TCP, one thread per connection: requests in, answers out, whatever clients do.

Every wait has an end: a client has so many seconds to send a request as a whole and to take the answer, an idle
connection is closed, and more connections than the limit are turned away at once.
"""

import contextlib
import http.server
import io
import json
import re
import resource
import select
import socket
import socketserver
import threading
import time

from absl import logging

from awsdet.runtime.shown import shown
from awsdet.serve.limits import Limits
from awsdet.serve.refusal import Refused, busy
from awsdet.serve.service import Answer, Gone, Request, Service

_LONGEST_LINE = 65536  # bytes, of the first line of a request
_DRAIN_SECONDS = 2.0  # for which what a refused client still sends is read, so that it gets to read the answer
_SPARE_FILES = 64  # of the files that may be open, so many are kept for other things than connections
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(;[^\r\n]*)?\r?\n")
_QUIET = ("/ping", "/health")  # asked every few seconds, so not worth a line


class Server(socketserver.ThreadingTCPServer):
    """Listens at an address and answers from a Service. `serve_forever` runs it until `shutdown`.

    Raises OSError if the address cannot be had.
    """

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, host: str, port: int, service: Service, limits: Limits):
        self.service, self.limits = service, limits
        self.held = _Held(limits.held_bytes)
        open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._free = threading.BoundedSemaphore(max(1, min(limits.connections, open_files - _SPARE_FILES)))
        self.active = 0  # requests that are being answered
        self.counting = threading.Lock()
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__(found[0][4][:2], _Handler)

    def process_request(self, request, client_address):
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except BaseException:  # no thread could be started
                self._free.release()
                raise
            return
        with contextlib.suppress(OSError):
            request.settimeout(0.0)
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
                b'Content-Type: application/json\r\nContent-Length: 34\r\n\r\n{"error": "too many connections"}\n'
            )
        self.shutdown_request(request)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request, client_address):
        logging.exception("a connection from %s failed", client_address[0])


class _Held:
    """Counts the bytes of bodies in memory."""

    def __init__(self, limit):
        self._limit, self._used, self._lock = limit, 0, threading.Lock()

    def add(self, count):
        """Raises Refused if there is no room for so many more."""
        with self._lock:
            if self._used + count > self._limit:
                raise busy("the server holds as many bytes of requests as it may; try again later")
            self._used += count

    def remove(self, count):
        with self._lock:
            self._used -= count


class _Timed(io.RawIOBase):
    """What a socket sends, until a point in time."""

    def __init__(self, sock):
        self._socket, self._until = sock, 0.0

    def within(self, seconds):
        """From now on, so many seconds are left for all that is read."""
        self._until = time.monotonic() + seconds

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._socket.recv_into(buffer)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def __init__(self, *arguments):
        self._timed, self._begun, self._held, self._unread = None, 0.0, 0, False
        self._awaits_continue, self.rfile = False, None
        self.raw_requestline, self.requestline, self.request_version, self.command, self.path = b"", "", "", "", ""
        self.close_connection = True
        super().__init__(*arguments)

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timed = _Timed(self.connection)
        self.rfile = io.BufferedReader(self._timed, 1 << 16)

    def version_string(self):
        return "awsdet"

    def log_message(self, *arguments):
        """Says nothing: `_log` does."""

    def handle(self):
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def handle_one_request(self):
        """Reads a request and answers it. An idle connection ends by TimeoutError."""
        self.close_connection = True
        self.requestline, self.command, self.path, self.request_version = "", "", "", "HTTP/1.1"
        self._unread = self._awaits_continue = False
        self._timed.within(self.server.limits.idle_seconds)
        if not self.rfile.peek(1):
            return
        self._begun = time.monotonic()
        self._timed.within(self.server.limits.read_seconds)
        self._unread = True
        try:
            self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
            if len(self.raw_requestline) > _LONGEST_LINE:
                self._send_refusal(Refused(414, "the first line of the request is too long"))
            elif self.parse_request():
                self._answer()
        except TimeoutError:
            self._send_refusal(_too_slow(self.server.limits))
        if self._unread:
            self._drain()

    def handle_expect_100(self):
        self._awaits_continue = True  # until it is known that the body is wanted
        return True

    def send_error(self, code, message=None, explain=None):
        """What http.server finds wrong with the head of a request."""
        # The parser leaves None and HTTP/0.9 behind, to which an answer would have no head.
        self.close_connection, self.request_version, self.command = True, "HTTP/1.1", self.command or ""
        self._send_refusal(Refused(int(code), f"the head of the request is no HTTP/1.1: {message or code.phrase}"))

    def _answer(self):
        with self.server.counting:
            self.server.active += 1
        try:
            if self.request_version == "HTTP/0.9":
                self.request_version, self.close_connection = "HTTP/1.1", True
                raise Refused(400, "the head of the request has no version; send HTTP/1.1")
            path = self.path.partition("?")[0]
            self._unread = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
            request = Request(self.command, path, self.headers, self._body, self._is_there)
            answer = self.server.service.answer(request)
            self._send(answer)
        except Refused as refused:
            self._send_refusal(refused)
        except Gone:
            self.close_connection = True
            self._log("gone")
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            logging.exception("%s %s failed", self.command, shown(self.path[:200]))
            self._send_refusal(Refused(500, "the server has a fault, which its log describes"))
        finally:
            self.server.held.remove(self._held)
            self._held = 0
            with self.server.counting:
                self.server.active -= 1

    # ---------------------------------------------------------------------------------------------------- the body

    def _body(self):
        """The body of the request. Raises Refused, TimeoutError."""
        lengths = set(self.headers.get_all("Content-Length", []))
        coding = self.headers.get("Transfer-Encoding")
        limit = self.server.limits.body_bytes
        if coding is not None:
            if lengths or coding.strip().lower() != "chunked":
                raise Refused(400, "send Content-Length, or Transfer-Encoding: chunked alone")
            self._continue()
            return self._chunks(limit)
        if not lengths:
            raise Refused(411, "the request has no body; send Content-Length or Transfer-Encoding: chunked")
        length = lengths.pop()
        if lengths or not re.fullmatch("[0-9]{1,15}", length):
            raise Refused(400, "the Content-Length is no number")
        if int(length) > limit:
            raise _too_long(limit)
        self._continue()
        body = self._read(int(length))
        self._unread = False
        return body

    def _continue(self):
        if self._awaits_continue:
            self.connection.settimeout(self.server.limits.read_seconds)
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read(self, length):
        """So many bytes. They are counted as they come, so that a client which only announces them holds none."""
        parts, left = [], length
        while left:
            part = self.rfile.read1(min(left, 1 << 20))
            if not part:
                raise ConnectionResetError  # the client went away
            self.server.held.add(len(part))
            self._held += len(part)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _chunks(self, limit):
        parts, total = [], 0
        while True:
            found = _CHUNK.fullmatch(self.rfile.readline(1024))
            if not found:
                raise Refused(400, "the body is not chunked as HTTP/1.1 says")
            size = int(found[1], 16)
            if size == 0:
                break
            total += size
            if total > limit:
                raise _too_long(limit)
            parts.append(self._read(size))
            if self.rfile.readline(3) not in (b"\r\n", b"\n"):
                raise Refused(400, "the body is not chunked as HTTP/1.1 says")
        for _ in range(100):  # more headers behind the body, of which none is wanted
            if self.rfile.readline(_LONGEST_LINE) in (b"\r\n", b"\n", b""):
                self._unread = False
                return b"".join(parts)
        raise Refused(400, "the body has too many headers behind it")

    def _is_there(self):
        """Whether the client still waits: it has neither closed the connection nor its side of it."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return True
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _drain(self):
        """Reads on for a moment what a client sends that was refused: else the system would take the answer back."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self._timed.within(_DRAIN_SECONDS)
            while self.rfile.read1(1 << 16):
                pass

    # -------------------------------------------------------------------------------------------------- the answer

    def _send_refusal(self, refused):
        # What it quotes from a request may hold halves of characters, which UTF-8 has no place for.
        content = json.dumps({"error": str(refused)}, ensure_ascii=False).encode(errors="replace")
        self._send(Answer(refused.status, content + b"\n", headers=refused.headers))

    def _send(self, answer):
        self.connection.settimeout(self.server.limits.read_seconds)
        if self._unread or self.server.service.stopping:
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        try:
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)
        except TimeoutError:  # after a part of an answer, not even a refusal can be sent
            self._log("not taken in time")
            raise ConnectionAbortedError from None
        self._log(answer.status)

    def _log(self, result):
        path = self.path.partition("?")[0]
        if path not in _QUIET:
            seconds = time.monotonic() - self._begun
            logging.info("%s %s: %s, %.0f ms", shown(self.command[:20]), shown(path[:200]), result, 1000 * seconds)


def _too_long(limit):
    return Refused(413, f"the body is longer than {limit:,} bytes (--max-body-bytes)")


def _too_slow(limits):
    return Refused(408, f"the request did not arrive within {limits.read_seconds:g} s")
