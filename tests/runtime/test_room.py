"""Room on a disk."""

import os
import types

import pytest

from awsdet.runtime import room
from awsdet.runtime.errors import UserError


def disk(free, blocks=10**6):
    return types.SimpleNamespace(f_bavail=free // 1000, f_frsize=1000, f_blocks=blocks)


def test_the_room_is_that_of_the_first_folder_that_exists(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "statvfs", lambda path: asked.append(path) or disk(5000))
    assert room.free_bytes(tmp_path / "a" / "b") == 5000 and asked == [tmp_path]
    monkeypatch.setattr(os, "statvfs", lambda path: disk(0, blocks=0))
    assert room.free_bytes(tmp_path) == float("inf")  # a file system that does not say
    room.check_room(tmp_path, 10**15, "the records")


def test_what_does_not_fit_is_refused_with_numbers(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "statvfs", lambda path: disk(2_500_000_000))
    with pytest.raises(UserError) as error:
        room.check_room(tmp_path, 3e9, "the records of split train")
    words = f"the records of split train need about 3.0 GB, and {tmp_path} has 2.5 GB left"
    assert str(error.value) == f"{words}; make room, or give another folder"
    room.check_room(tmp_path, 1e9, "the records")
    assert not caplog.text
    room.check_room(tmp_path, 2.4e9, "the records")
    assert f"the records need about 2.4 GB, and {tmp_path} has only 2.5 GB left" in caplog.text
