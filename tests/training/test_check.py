"""`awsdet train --check` finds what the run would find, and leaves nothing behind."""

import os
import pathlib
import types

import pytest

from awsdet.cli import main as cli
from awsdet.ops import library
from awsdet.training.run_folder import RunFolder
from tests.cli.conftest import restored_logging  # noqa: F401 -- used by all tests


@pytest.fixture
def check(config_file, tmp_path, capsys):
    """Calls the command with more arguments. Returns (exit code, stdout, stderr)."""

    def call(*arguments, output=tmp_path / "run"):
        code = cli.main(["train", f"--config={config_file}", f"--output={output}", "--check", *arguments])
        return code, *capsys.readouterr()

    return call


def test_a_run_that_can_start(check, config_file, tmp_path, caplog):
    code, out, _ = check("--processes=2", "--config.data.jitter_scales=0.5,1")
    assert code == 0 and out == f"{config_file}: ready for 2 process(es)\n"
    assert list(tmp_path.iterdir()) == []
    assert "decay_epochs has 8, 11, and training ends with epoch 2" in caplog.text
    assert "--config.data.jitter_scales does nothing: data.canvas is 0" in caplog.text


def full_disk(monkeypatch):
    disk = types.SimpleNamespace(f_bavail=10, f_frsize=1, f_blocks=1)
    monkeypatch.setattr(os, "statvfs", lambda path: disk)


def no_operators(monkeypatch):
    library.compiled.cache_clear()
    monkeypatch.setattr(library, "PATH", pathlib.Path("/nowhere/lib.so"))


@pytest.mark.parametrize(
    "change, words",
    [
        (full_disk, "the checkpoints (each) need about "),
        (no_operators, "the compiled operators are missing"),
    ],
)
def test_what_the_machine_lacks(check, monkeypatch, change, words):
    try:
        change(monkeypatch)
        code, out, err = check()
    finally:
        monkeypatch.undo()
        library.compiled.cache_clear()
    assert code == 2 and out == "" and words in err.splitlines()[-1]


@pytest.mark.parametrize(
    "argument, words",
    [
        ("--config.optimizer.learning_rate=nan", "optimizer.learning_rate is nan; it must be a finite number, above 0"),
        ("--config.schedule.name=poly", "schedule.name is 'poly'; it must be one of step, cosine"),
        ("--config.data.train_records=s3://bucket/x", "--config.data.train_records=s3://bucket/x is an address"),
        ("--config.data.eval_split=test", "has no split test"),
        ("--config.train.init_from=imagnet-r50", "did you mean imagenet-r50"),
        ("--resume", "nothing to resume"),
    ],
)
def test_mistakes(check, tmp_path, argument, words):
    code, out, err = check(argument)
    assert code == 2 and out == "" and words in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_in_use_or_cannot_be_written(check, tmp_path):
    other = RunFolder(tmp_path / "run")
    other.take()
    code, _, err = check()
    assert code == 2 and "is being written by another run" in err
    other.release()
    code, _, err = check(output="/proc/run")
    assert code == 2 and "--output=/proc/run cannot be written: /proc: " in err
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "tensorboard").touch()
    code, _, err = check(output=tmp_path / "used")
    assert code == 2 and "used/tensorboard is a file; name a folder" in err
