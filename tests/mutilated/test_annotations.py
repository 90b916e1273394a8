"""A few mutilated files in every run of the tests; `make test-mutilated` takes 1,000 and more."""

import subprocess
import sys

from tests.mutilated import annotations


def test_mutilated_files_are_refused_or_converted_with_everything_counted():
    done = subprocess.run(
        [sys.executable, *annotations.PROGRAM, "--count=20", "--seed=3"],
        cwd=annotations.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "20 mutilated annotation files, seed 3:"
    assert sum(int(line.split()[0]) for line in lines[1:]) == 20 and "FAULT" not in done.stdout
    assert "converted" in done.stdout and "refused" in done.stdout


def test_files_are_the_same_for_a_seed_and_differ_otherwise():
    assert annotations.mutilated(7, 1) == annotations.mutilated(7, 1) != annotations.mutilated(7, 2)
    assert len({annotations.mutilated(number, 1) for number in range(20)}) == 20


def test_a_traceback_and_a_signal_are_faults(tmp_path, monkeypatch):
    """The program notices what it is there to notice: its children are made to fail in both ways."""
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import json, os, signal, sys\n"
        "for number in sys.argv[4:]:\n"
        "    print(json.dumps({'begun': int(number)}), flush=True)\n"
        "    if number == '1':\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    what = {'outcome': 'FAULT', 'traceback': 'KeyError'} if number == '2' else {'outcome': 'converted'}\n"
        "    print(json.dumps({'done': int(number), **what}), flush=True)\n"
    )
    monkeypatch.setattr(annotations, "PROGRAM", (str(broken),))
    outcomes, faults = annotations.run(4, 1, tmp_path)
    assert outcomes == {"converted": 2, "FAULT": 2}
    assert sorted(number for number, _ in faults) == [1, 2]
    assert "exit code -11" in dict(faults)[1] and dict(faults)[2] == "KeyError"
