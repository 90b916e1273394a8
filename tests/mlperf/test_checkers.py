"""What MLPerf's own checkers say about logs, through `awsdet.mlperf` and `awsdet mlperf check`."""

import json
import sys

import pytest

from awsdet.cli import main as cli
from awsdet.mlperf.checkers import Checkers
from awsdet.runtime import mllog
from awsdet.runtime.errors import UserError
from tests.mlperf.synthetic import write_five, write_log, write_package

RATE = "is_integer(v['value'] / 0.02) or ( s['global_batch_size'] < 16 and is_integer(0.02 / v['value']) )"


@pytest.mark.parametrize("images", [8, 272])
def test_a_log_of_the_ready_configs_complies(checkers, tmp_path, images):
    write_log(tmp_path / "log", images=images)
    assert checkers.compliance(tmp_path / "log") == (True, "", ())


def test_what_a_log_lacks_is_told_in_words(checkers, tmp_path):
    path = tmp_path / "log"
    write_log(path, met=False, without=("cache_clear", "gradient_accumulation_steps"), opt_base_learning_rate=0.125)
    mllog.append(path, "run_stop", status="aborted")
    mllog.append(path, "global_batch_size", 5)
    path.write_text(path.read_text() + ":::MLLOG {\n")
    verdict = checkers.compliance(path)
    assert not verdict.passed
    said = set(verdict.faults)
    assert {
        "cache_clear: it is missing, and it must be there",
        "gradient_accumulation_steps: it is missing, and it must be there once",
        "global_batch_size: it is there 2 times, and it must be there once",
        f"opt_base_learning_rate (:::MLLOG line 9): {RATE} does not hold",
        "a :::MLLOG line is not whole",
    } <= said
    assert any(fault.startswith("eval_accuracy: no line fulfils v['value']['BBOX'] >= 0.377") for fault in said)


def test_an_empty_log(checkers, tmp_path):
    (tmp_path / "log").touch()
    assert "there is no :::MLLOG line" in checkers.compliance(tmp_path / "log").faults


def check(python, *arguments):
    return cli.main(["mlperf", "check", *map(str, arguments), f"--python={python}"])


def test_a_complete_package_passes_and_stays_as_it_was(checkers_python, tmp_path, capsys):
    write_package(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert check(checkers_python, tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == "result_0.txt passed 90.00 minutes, 14 epochs".split()
    assert any(line.split()[:4] == ["convergence", "passed", "14.00", "epochs"] for line in lines)
    assert any(line.split()[:3] == ["score", "91.00", "minutes,"] for line in lines)
    assert lines[-1].split() == ["package", "passed"]
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_runs_that_are_too_fast_or_of_one_seed_fail(checkers_python, tmp_path, capsys):
    write_package(tmp_path)
    folder = tmp_path / "results/box/maskrcnn"
    for file in folder.iterdir():
        file.unlink()
        write_log(file, epochs=12)
    (tmp_path / "systems/box.json").write_text(json.dumps({"division": "closed"}))
    assert check(checkers_python, tmp_path) == 1
    said = capsys.readouterr().out
    assert "convergence     FAILED  12.00 epochs in the mean; the reference takes 13.67, and 13.5" in said
    assert "package         FAILED" in said and "already logs the same seed" in said
    assert "Missing field submitter" in said and str(tmp_path / "results") in said


@pytest.mark.parametrize("runs", [1, 4])
def test_fewer_than_five_runs_are_no_result(checkers_python, tmp_path, capsys, runs):
    write_five(tmp_path, epochs=(14,) * runs)
    assert check(checkers_python, tmp_path) == 1
    assert f"a result is 5 runs, and there are {runs}: neither" in capsys.readouterr().out


def test_two_runs_that_missed_the_target(checkers_python, tmp_path, capsys):
    write_five(tmp_path)
    for number in (1, 3):
        (tmp_path / f"result_{number}.txt").unlink()
        write_log(tmp_path / f"result_{number}.txt", met=False)
    assert check(checkers_python, tmp_path) == 1
    said = capsys.readouterr().out
    assert "Insufficient convergence" in said and "none: two runs or more missed the target" in said


def test_without_the_checkers_there_is_one_line(tmp_path, capsys):
    write_log(tmp_path / "result_0.txt")
    assert check(sys.executable, tmp_path) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "has no mlperf-logging" in said and "pip install 'awsdet[mlperf]'" in said
    with pytest.raises(UserError, match=r"--python=/nowhere cannot be started: No such file"):
        Checkers("/nowhere")


@pytest.mark.parametrize("arguments", [[], ["check"], ["chekc", "DIR"]])
def test_mistakes_in_the_arguments(arguments, capsys):
    assert cli.main(["mlperf", *arguments]) == 2
    assert "awsdet mlperf check DIR" in capsys.readouterr().err
