"""The words between the hosts of a job, over real connections."""

import socket
import threading
import time

import pytest

from awsdet.launch.channel import Connection
from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_base  # isort: skip
import container_link  # isort: skip

TOKEN = "t" * 64


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


class Link:
    """The first host, and what it heard."""

    def __init__(self, others, lost_seconds):
        self.port, self.events = free_port(), container_link.new_events()
        self.first = container_link.FirstHost(self.port, TOKEN, others, {"key": "k"}, self.events, lost_seconds)

    def join(self, host, token=TOKEN, lost_seconds=30):
        """Another host, and its events."""
        events = container_link.new_events()
        hello = {"token": token, "host": host, "processes": 1}
        deadline = time.monotonic() + 10
        return container_link.OtherHost("127.0.0.1", self.port, hello, events, lost_seconds, deadline), events


@pytest.fixture
def make_link():
    made = []

    def make(*others, lost_seconds=30):
        made.append(Link(others, lost_seconds))
        return made[-1]

    yield make
    for link in made:
        link.first.finish(0, "")


def next_event(events):
    return events.get(timeout=20)


def test_a_host_is_welcomed_and_told_the_end(make_link):
    link = make_link("algo-2")
    assert link.first.missing == ["algo-2"]
    other, events = link.join("algo-2")
    assert next_event(events) == ("127.0.0.1", "welcome", {"key": "k"}) and link.first.missing == []
    other.send("ready")
    assert next_event(link.events) == ("algo-2", "ready", {})
    finishing = threading.Thread(target=link.first.finish, args=(1, "why"))
    finishing.start()
    assert next_event(events) == ("127.0.0.1", "done", {"code": 1, "reason": "why"})
    assert finishing.is_alive()  # it waits until the host knows
    other.close()
    finishing.join(5)
    assert not finishing.is_alive()


@pytest.mark.parametrize("host, token", [("algo-2", "wrong"), ("algo-2", "ä"), ("algo-3", TOKEN), (["algo-2"], TOKEN)])
def test_strangers_are_cut_off(make_link, host, token):
    link = make_link("algo-2")
    _, events = link.join(host, token)
    assert next_event(events).kind == container_link.LOST and link.first.missing == ["algo-2"]


def test_nobody_takes_the_place_of_a_host(make_link):
    link = make_link("algo-2")
    first, first_events = link.join("algo-2")
    assert next_event(first_events).kind == "welcome"
    _, second_events = link.join("algo-2")
    assert next_event(second_events).kind == container_link.LOST and link.first.missing == []
    first.close()


def test_noise_is_cut_off(make_link):
    link = make_link("algo-2")
    with socket.create_connection(("127.0.0.1", link.port)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.settimeout(20)
        assert sock.recv(100) == b""


def test_a_broken_connection_is_a_lost_host(make_link):
    link = make_link("algo-2")
    with socket.create_connection(("127.0.0.1", link.port)) as sock:
        Connection(sock).send("hello", token=TOKEN, host="algo-2", processes=1)
        assert sock.recv(100)
    assert next_event(link.events) == ("algo-2", container_link.LOST, {})


def test_a_silent_host_is_lost(make_link):
    link = make_link("algo-2", lost_seconds=3)
    with socket.create_connection(("127.0.0.1", link.port)) as sock:
        Connection(sock).send("hello", token=TOKEN, host="algo-2", processes=1)  # and then not even a heart-beat
        assert next_event(link.events) == ("algo-2", container_link.LOST, {})


def test_a_silent_first_host_is_lost():
    with socket.create_server(("127.0.0.1", 0)) as server:
        events = container_link.new_events()
        deadline = time.monotonic() + 10
        container_link.OtherHost("127.0.0.1", server.getsockname()[1], {}, events, 3, deadline)
        silent, _ = server.accept()
        assert next_event(events) == ("127.0.0.1", container_link.LOST, {})
        silent.close()


def test_heart_beats_keep_a_quiet_link(make_link):
    link = make_link("algo-2", lost_seconds=5)
    other, events = link.join("algo-2", lost_seconds=5)
    assert next_event(events).kind == "welcome"
    time.sleep(8)
    assert link.events.empty() and events.empty()
    other.close()


def test_a_first_host_that_is_not_there():
    with pytest.raises(container_base.JobFailed, match="cannot be reached at port"):
        container_link.OtherHost("127.0.0.1", free_port(), {}, container_link.new_events(), 30, time.monotonic() + 1)


def test_a_stop_ends_the_waiting_for_the_first_host():
    events = container_link.new_events()
    events.put(container_link.Event("", "stop", {}))
    with pytest.raises(container_link.Interrupted):
        container_link.OtherHost("127.0.0.1", free_port(), {}, events, 30, time.monotonic() + 60)


def test_a_port_that_is_taken(make_link):
    link = make_link()
    with pytest.raises(container_base.JobFailed, match="set AWSDET_LINK_PORT"):
        container_link.FirstHost(link.port, TOKEN, [], {}, container_link.new_events(), 30)
