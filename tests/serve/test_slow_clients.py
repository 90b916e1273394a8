"""Clients of `awsdet serve` that are slow, or go away."""

import contextlib
import socket
import threading
import time

import pytest

from tests.serve.running import SECONDS

LONG = 30_000_000  # characters, more than the system holds for a connection


@pytest.fixture
def impatient(tmp_path):
    """The address of a server in this process, for the times of the transport are no flags. Its model never runs."""
    from awsdet.serve.limits import Limits
    from awsdet.serve.model import Description, Model
    from awsdet.serve.service import Service
    from awsdet.serve.transport import Server

    limits = Limits(read_seconds=0.5, idle_seconds=0.5, connections=4, held_bytes=1000)
    never_run = Model(str(tmp_path), limits, None)
    never_run.description = Description(str(tmp_path), {"name": "tiny"}, {"long": "x" * LONG})
    server = Server("127.0.0.1", 0, Service(never_run, limits), limits)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address
    server.shutdown()
    server.server_close()


def all_of(sock):
    """What a server sends until it closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def wait_for_room(address):
    """Until the server has noticed that its connections are closed."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with socket.create_connection(address, timeout=SECONDS) as sock, contextlib.suppress(OSError):
            sock.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
            if b"too many connections" not in all_of(sock):
                return
    raise AssertionError("the server still counts connections that were closed")


def test_clients_that_are_slow_or_go_away(impatient):
    socks = [socket.create_connection(impatient, timeout=SECONDS) for _ in range(5)]
    try:
        assert b"too many connections" in socks[4].recv(1000)
        assert socks[0].recv(1) == b""  # idle, and closed
    finally:
        for sock in socks:
            sock.close()
    wait_for_room(impatient)
    head = "POST /v1/models/tiny:predict HTTP/1.1\r\nContent-Length: 100\r\n"
    for part in ("GET /health HT", head, f"{head}\r\nabc"):
        with socket.create_connection(impatient, timeout=SECONDS) as sock:
            with contextlib.suppress(OSError):
                for character in part.ljust(len(part) + 90):  # never a pause of half a second, but never done in time
                    sock.sendall(character.encode())
                    time.sleep(0.01)
            assert b" 408 " in all_of(sock), part
    with socket.create_connection(impatient, timeout=SECONDS) as sock:
        sock.sendall(head.replace("100", "2000").encode() + b"\r\n" + b" " * 2000)
        assert b"the server holds as many bytes" in all_of(sock)


def test_nothing_follows_an_answer_that_is_taken_too_slowly(impatient):
    with socket.create_connection(impatient, timeout=SECONDS) as sock:
        sock.sendall(b"GET /v1/models/tiny/metadata HTTP/1.1\r\n\r\n")
        answer = b""
        for _ in range(100):  # a little at a time, for much longer than half a second
            time.sleep(0.02)
            answer += sock.recv(1 << 16)
        answer += all_of(sock)
    assert answer.startswith(b"HTTP/1.1 200") and len(answer) < LONG
    assert answer.count(b"HTTP/1.1") == 1
