"""The connection between the launcher and a rank: tokens, messages, and connections that end."""

import json
import socket

import pytest

from awsdet.launch.channel import LONGEST_MESSAGE, Connection, Server


@pytest.fixture
def server():
    made = Server("127.0.0.1", "secret")
    yield made
    made.close()


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_a_rank_says_hello_sends_lines_and_obeys(server):
    rank = Connection(connect(server))
    rank.send("hello", token="secret", rank=3)
    event = server.events.get(timeout=10)
    assert (event.kind, event.content) == ("hello", {"rank": 3})
    rank.send("beat")
    rank.send("line", stream="out", text="größer\t{}")
    event = server.events.get(timeout=10)
    assert (event.kind, event.content["text"]) == ("line", "größer\t{}")
    server.order("stop")
    assert next(rank.messages()) == ("stop", {})  # the launcher's heart-beats are left out
    rank.close()
    assert server.events.get(timeout=10).kind == "lost"


@pytest.mark.parametrize(
    "first",
    [
        {"kind": "hello", "token": "guess"},
        {"kind": "hello"},
        {"kind": "exit", "token": "secret"},
        {"kind": "hello", "token": "ü"},
    ],
)
def test_without_the_token_nobody_is_heard(server, first):
    with connect(server) as stranger:
        stranger.sendall(json.dumps(first).encode() + b"\n")
        assert stranger.recv(1) == b""
    assert server.events.empty()


@pytest.mark.parametrize("data", [b"not JSON\n", b"[1]\n", b"{}\n", b"7\n", b"x" * (LONGEST_MESSAGE + 1)])
def test_what_is_no_message_ends_the_connection(server, data):
    with connect(server) as stranger:
        stranger.sendall(data)
        assert stranger.recv(1) == b""
    assert server.events.empty()


def test_messages_arrive_whole_however_they_are_cut(server):
    text = (
        json.dumps({"kind": "hello", "token": "secret"})
        + "\n"
        + json.dumps({"kind": "line", "text": "a" * 5000})
        + "\n"
    )
    with connect(server) as rank:
        for start in range(0, len(text), 700):
            rank.sendall(text[start : start + 700].encode())
        assert server.events.get(timeout=10).kind == "hello"
        assert server.events.get(timeout=10).content == {"text": "a" * 5000}


def test_close_ends_the_ranks_connection(server):
    rank = Connection(connect(server))
    rank.send("hello", token="secret")
    server.events.get(timeout=10)
    server.close()
    assert list(rank.messages()) == []
    assert not (rank.send("line", text="") and rank.send("line", text=""))  # the first may still fit into the buffer


def test_a_side_that_is_not_read_from_notices(server):
    """A launcher that hangs takes nothing, so what a rank prints fills the buffers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rank = Connection(socket.create_connection(listener.getsockname()), send_seconds=1)
        with listener.accept()[0]:
            sent = 0
            while rank.send("line", text="x" * 100_000):
                sent += 1
                assert sent < 1000
        assert not rank.send("beat")
