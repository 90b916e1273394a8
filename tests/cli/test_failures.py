"""What a user reads of errors that nobody foresaw: one line of the system, a traceback and what to do of a fault."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from awsdet.cli import main as cli
from awsdet.cli import shapes
from awsdet.runtime.errors import RankFailed

REPOSITORY = pathlib.Path(__file__).parents[2]


def told(monkeypatch, capsys, error):
    """(exit code, stderr) of a command in which `error` is raised."""

    def run(flag_values, overrides):
        raise error

    monkeypatch.setattr(shapes, "run", run)
    code = cli.main(["shapes", "--output=x"])
    captured = capsys.readouterr()
    assert captured.out == ""
    return code, captured.err


@pytest.mark.parametrize(
    "number, code, cure",
    [
        (errno.ENOSPC, 1, "make room"),
        (errno.EDQUOT, 1, "make room"),
        (errno.EIO, 1, "fault"),
        (errno.EMFILE, 1, "ulimit -n"),
        (errno.EROFS, 2, "name another path"),
        (errno.EACCES, 2, "name another path"),
        (errno.ENOENT, 2, ""),
        (errno.ENOTDIR, 2, ""),
        (errno.ENAMETOOLONG, 2, "shorter names"),
        (errno.ELOOP, 2, "in a circle"),
        (errno.ETIMEDOUT, 1, ""),
    ],
)
def test_an_error_of_the_system_is_one_line_with_the_path(monkeypatch, capsys, number, code, cure):
    error = OSError(number, os.strerror(number), "/runs/a b\n[1]/x")
    done, said = told(monkeypatch, capsys, error)
    assert done == code and said.startswith(f"awsdet shapes: /runs/a b [1]/x: {os.strerror(number)}") and cure in said
    assert said.count("\n") == 1


def test_errors_without_number_or_path(monkeypatch, capsys):
    assert told(monkeypatch, capsys, OSError("Unable to open file\n(truncated)"))[0] == 1
    assert told(monkeypatch, capsys, OSError("no number"))[1] == "awsdet shapes: no number\n"
    assert told(monkeypatch, capsys, OSError())[1] == "awsdet shapes: OSError\n"
    two = OSError(errno.EXDEV, os.strerror(errno.EXDEV), "/a", None, "/b")
    assert "/a -> /b: Invalid cross-device link" in told(monkeypatch, capsys, two)[1]
    assert told(monkeypatch, capsys, BrokenPipeError(errno.EPIPE, "Broken pipe"))[1].count("\n") == 1


def test_errors_of_the_system_in_the_words_of_tensorflow(monkeypatch, capsys):
    import tensorflow as tf

    for kind, number, code in (
        (tf.errors.ResourceExhaustedError, errno.ENOSPC, 1),
        (tf.errors.PermissionDeniedError, errno.EACCES, 2),
        (tf.errors.NotFoundError, errno.ENOENT, 2),
    ):
        done, said = told(monkeypatch, capsys, kind(None, None, f"/x/y; {os.strerror(number)}\n\t [[node]]"))
        assert done == code and said.startswith(f"awsdet shapes: /x/y; {os.strerror(number)}") and said.count("\n") == 1
    done, said = told(monkeypatch, capsys, tf.errors.InvalidArgumentError(None, None, "a fault of ours"))
    assert done == 1 and "Traceback" in said


def test_a_fault_of_ours_keeps_its_traceback_and_says_what_to_do(monkeypatch, capsys):
    done, said = told(monkeypatch, capsys, KeyError("x"))
    assert done == 1 and said.startswith("Traceback") and "in run" in said
    last = said.splitlines()[-1]
    assert (
        last.startswith("awsdet shapes: this should not have happened (KeyError); please report") and "doctor" in last
    )
    done, said = told(monkeypatch, capsys, MemoryError())
    assert done == 1 and "out of memory" in said.splitlines()[-1]


def test_of_another_rank_that_failed_one_line_is_enough(monkeypatch, capsys):
    done, said = told(monkeypatch, capsys, RankFailed("rank 3 failed: OSError: disk"))
    assert (done, said) == (1, "awsdet shapes: rank 3 failed: OSError: disk\n")


def test_a_reader_that_has_had_enough_is_no_error():
    """As in `awsdet weights --list | head -1`."""
    command = [sys.executable, "-m", "awsdet.cli.main", "weights", "--list"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
    process.stdout.close()  # before anything is written
    assert process.stderr.read() == "" and process.wait() == 1
    process.stderr.close()


def test_an_output_that_is_full_is_told():
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    command = [sys.executable, "-m", "awsdet.cli.main", "weights", "--list"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("awsdet weights: No space left on device; make room")
