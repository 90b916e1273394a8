"""Child processes of the entry point, and disks that are full."""

import pathlib
import queue
import sys

import pytest

from tests.sagemaker import fake_jobs  # noqa: F401, for the folder of the modules below

import container_base  # isort: skip


def run(script, log):
    """Runs a Python script as a Child. Returns (exit code, last lines)."""
    codes = queue.SimpleQueue()
    child = container_base.Child([sys.executable, "-c", script], codes.put, log)
    return codes.get(timeout=60), list(child.tail)


def test_output_goes_to_the_log_and_to_a_file(tmp_path, capfd):
    script = "import sys; print('ä'); sys.stdout.buffer.write(b'\\xff'); sys.exit(3)"
    assert run(script, tmp_path / "log") == (3, ["ä", "\ufffd"])
    assert (tmp_path / "log").read_text() == "ä\n\ufffd\n" == capfd.readouterr().out


@pytest.mark.parametrize("log", ["/dev/full", "/dev/null/log"])
def test_a_log_that_cannot_be_written_stops_nothing(capfd, log):
    if not pathlib.Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    code, tail = run("for i in range(3): print(i, flush=True)\nexit(4)", pathlib.Path(log))
    assert (code, tail) == (4, ["0", "1", "2"])
    said = capfd.readouterr().out.splitlines()
    assert [line for line in said if line in ("0", "1", "2")] == ["0", "1", "2"]
    assert sum(f"{log} cannot be written" in line for line in said) == 1


def test_the_end_is_told_even_if_the_output_cannot_be_read_on(tmp_path, monkeypatch):
    def broken(_):
        raise BrokenPipeError

    monkeypatch.setattr(container_base, "put", broken)
    monkeypatch.setattr(container_base.threading, "excepthook", lambda _: None)
    code, _ = run("while True: print('x' * 1000)", tmp_path / "log")
    assert code != 0
