"""Progress: a bar on a terminal, lines in the log elsewhere, nothing if it is turned off."""

import io
import os
import pty
import subprocess
import sys
import threading
import time

from absl import logging

from awsdet.runtime.progress import Progress, clock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_bar_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    threads = threading.active_count()
    with Progress(4, "evaluating", "images") as progress:
        for _ in range(4):
            progress.add()
        assert threading.active_count() == threads
    last = terminal.getvalue().rsplit("\r", 1)[1]
    assert last.startswith("evaluating: 100%|") and "4/4" in last and last.endswith("\n")


def test_bar_on_a_terminal_without_a_size():
    """A new pseudo-terminal has 0 x 0 characters, as in some containers."""
    program = "from awsdet.runtime.progress import Progress\nwith Progress(1, 'evaluating') as progress: progress.add()"
    main, terminal = pty.openpty()
    subprocess.run([sys.executable, "-c", program], stdout=terminal, stderr=terminal, check=True)
    assert "evaluating: 100%" in os.read(main, 4096).decode()


def test_lines_in_the_log_off_a_terminal(monkeypatch):
    lines, now = [], [100.0]
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(logging, "info", lambda pattern, *arguments: lines.append(pattern % arguments))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(100, "evaluating", "images") as progress:
        for _ in range(10):  # of 10 seconds each
            now[0] += 10
            progress.add(5)
    assert lines[0] == "evaluating:  15% 15/100 [00:30<02:50,  2.00s/ images]"
    assert [line.split()[2] for line in lines] == ["15/100", "30/100", "45/100"]


def test_quiet_where_disabled_and_where_it_is_quick(monkeypatch):
    for stream, enabled in [(Terminal(), False), (io.StringIO(), False), (io.StringIO(), True)]:
        monkeypatch.setattr("sys.stderr", stream)
        with Progress(1, "evaluating", enabled=enabled) as progress:
            progress.add()
        assert stream.getvalue() == ""


def test_nothing_to_do(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with Progress(0, "evaluating"):
        pass


def test_clock():
    assert [clock(s) for s in (0, 59.6, 3599, 90061)] == ["00:00", "00:59", "59:59", "25:01:01"]
