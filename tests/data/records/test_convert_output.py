"""Conversions that meet in one folder, or find no room there."""

import os
import types

from awsdet.cli.main import main
from awsdet.runtime import owner
from tests.data.records.test_convert import simple_set


def test_two_conversions_do_not_write_the_same_split(tmp_path, capsys):
    annotations, images = simple_set(tmp_path / "set", 2)
    records = tmp_path / "records"
    records.mkdir()
    other = owner.acquire(records / ".train.lock", "split train")
    arguments = ["convert", f"--annotations={annotations}", f"--images={images}", f"--output={records}"]
    assert main([*arguments, "--split=train"]) == 2
    assert f"split train in {records} is being written by another run" in capsys.readouterr().err
    assert [path.name for path in records.iterdir()] == [".train.lock"]
    assert main([*arguments, "--split=val"]) == 0
    other.release()
    assert main([*arguments, "--split=train"]) == 0
    assert not [path for path in records.iterdir() if path.name.startswith(".")]


def test_a_disk_that_is_too_full_is_told_before_the_work(tmp_path, capsys, monkeypatch):
    annotations, images = simple_set(tmp_path / "set", 3)
    size = sum(path.stat().st_size for path in images.iterdir())
    disk = types.SimpleNamespace(f_bavail=size - 1, f_frsize=1, f_blocks=1)
    arguments = ["convert", f"--annotations={annotations}", f"--images={images}", f"--output={tmp_path / 'records'}"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: disk)
        assert main([*arguments, "--split=train"]) == 2
        assert "the records of split train need about " in capsys.readouterr().err
        assert list((tmp_path / "records").iterdir()) == []
    assert main([*arguments, "--split=train", "--workers=1"]) == 0
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    assert main([*arguments, "--split=train"]) == 0  # they are there
