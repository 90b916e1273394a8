"""Where a conversion writes: places that cannot be written, that another conversion writes to, and that are full."""

import os
import pathlib
import types

import pytest

from awsdet.cli.main import main
from awsdet.data.records.convert import convert
from awsdet.runtime import owner
from awsdet.runtime.errors import UserError
from tests.data.records.test_convert import simple_set


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    annotations, images = simple_set(tmp_path, 1)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="^--output=.*file/records cannot be written: .*file is no folder"):
        convert(annotations, images, tmp_path / "file" / "records", "train", workers=1)


def test_a_read_only_output_is_named(tmp_path):
    annotations, images = simple_set(tmp_path, 1)
    output = tmp_path / "records"
    output.mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write in any folder but those of the kernel
        output = pathlib.Path("/proc/records")
    with pytest.raises(UserError, match=f"^--output={output} cannot be written: "):
        convert(annotations, images, output, "train", workers=1)


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
