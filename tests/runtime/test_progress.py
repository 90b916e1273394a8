"""Progress: a bar on a terminal, nothing where it is not wanted."""

import io

from awsdet.runtime.progress import Progress, clock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress(4, "evaluating", "images") as progress:
        for _ in range(4):
            progress.add()
    last = terminal.getvalue().rsplit("\r", 1)[1]
    assert last.startswith("[####################] evaluating: 4/4 images") and last.endswith("\n")


def test_quiet_where_disabled_and_where_it_is_quick(monkeypatch):
    for stream, enabled in [(Terminal(), False), (io.StringIO(), True)]:
        monkeypatch.setattr("sys.stderr", stream)
        with Progress(1, "evaluating", enabled=enabled) as progress:
            progress.add()
        assert stream.getvalue() == ""


def test_nothing_to_do(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with Progress(0, "evaluating"):
        pass


def test_clock():
    assert [clock(s) for s in (0, 59.6, 3599, 90061)] == ["0:00:00", "0:01:00", "0:59:59", "25:01:01"]
