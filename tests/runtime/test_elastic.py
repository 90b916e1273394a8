"""How a process asks the elastic launcher for its place. tests/elastic runs whole jobs under the real launcher."""

import http.server
import threading

import pytest

from awsdet.runtime import elastic, stall
from awsdet.runtime.world import RunFailed


class Launcher(http.server.ThreadingHTTPServer):
    """Gives out a place when `answer` is set, and keeps values until `gone` is set."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.gone, self.status = threading.Event(), threading.Event(), 200
        self.values, self.questions, self.looks = {}, 0, 0


class Handler(http.server.BaseHTTPRequestHandler):
    """The launcher's store and its places."""

    def do_PUT(self):
        self.server.looks += 1
        if not self.server.gone.is_set():
            self.server.values[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(200, b"")
        if self.server.looks == 3:
            self.server.answer.set()

    def do_GET(self):
        if not self.path.startswith("/rank_and_size/"):
            value = self.server.values.get(self.path)
            self._reply(200 if value else 404, value or b"")
            return
        self.server.questions += 1
        self.server.answer.wait(60)
        self._reply(self.server.status, b"1,2,0,1,1,2")

    def _reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def launcher():
    server = Launcher()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.answer.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def world(launcher, monkeypatch):
    """An ElasticWorld that has joined no others."""
    monkeypatch.setattr(elastic, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(stall, "_REQUEST_SECONDS", 1.0)
    made = object.__new__(elastic.ElasticWorld)
    made._address, made._place = launcher.server_address, "h1:0"
    return made


def test_a_process_waits_for_hosts_as_long_as_the_launcher_is_there(launcher, world):
    """It asks once only, since the launcher would count a second question as another process."""
    assert world._next_place() == [1, 2, 0, 1, 1, 2]
    assert launcher.looks >= 3 and launcher.questions == 1


def test_it_does_not_wait_for_a_launcher_that_is_gone(launcher, world):
    launcher.gone.set()
    launcher.looks = 10
    with pytest.raises(RunFailed, match="the launcher has ended the job"):
        world._next_place()


def test_it_does_not_wait_for_ever(launcher, world, monkeypatch):
    monkeypatch.setattr(elastic, "_PLACE_SECONDS", 0.0)
    launcher.looks = 10
    with pytest.raises(RunFailed, match="given this process no new rank for 0 hours"):
        world._next_place()


def test_a_launcher_that_refuses_or_does_not_listen(launcher, world):
    launcher.status = 500
    launcher.answer.set()
    with pytest.raises(RunFailed, match="answered 500 when asked for a new rank"):
        world._next_place()
    world._address = ("127.0.0.1", 1)
    with pytest.raises(RunFailed, match="the launcher is gone"):
        world._next_place()


@pytest.mark.parametrize(
    "rank, there, missing",
    [(0, ["0", "1", "2"], None), (0, ["1"], "rank 2 did not come"), (1, ["0"], "no rank 0 came"), (1, ["all"], None)],
)
def test_ranks_wait_for_each_other_before_they_join(launcher, world, monkeypatch, rank, there, missing):
    """In Horovod, one that waits for another in vain would be aborted."""
    monkeypatch.setattr(elastic, "_COMING_SECONDS", 0.5)
    monkeypatch.setattr(elastic, "_MEET_SECONDS", 0.05)
    monkeypatch.setenv("HOROVOD_RANK", str(rank))
    monkeypatch.setenv("HOROVOD_SIZE", "3")
    launcher.values.update({f"/awsdet_here/{key}": b"here" for key in there})
    if missing is None:
        world._meet()
        assert launcher.values["/awsdet_here/all"] == b"here"
    else:
        with pytest.raises(TimeoutError, match=missing):
            world._meet()
        assert "/awsdet_here/all" not in launcher.values
    assert launcher.values[f"/awsdet_here/{rank}"] == b"here"
