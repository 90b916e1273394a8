"""What is written appears in one piece or not at all."""

import json
import os
import stat
import subprocess
import sys

import pytest

from awsdet.runtime import files
from awsdet.runtime.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_json(tmp_path):
    files.write_text(tmp_path / "a.txt", "first")
    files.write_text(tmp_path / "a.txt", "second")
    files.write_json(tmp_path / "b.json", {"one": [1, 2]})
    files.write_json(tmp_path / "c.json", {"one": [1, 2]}, indent=1)
    assert (tmp_path / "a.txt").read_text() == "second"
    assert (tmp_path / "b.json").read_text() == '{"one":[1,2]}'
    assert json.loads((tmp_path / "c.json").read_text()) == {"one": [1, 2]}
    assert names(tmp_path) == ["a.txt", "b.json", "c.json"]


def test_the_usual_permissions(tmp_path):
    files.write_text(tmp_path / "aside", "")
    (tmp_path / "plain").write_text("")
    assert stat.S_IMODE((tmp_path / "aside").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a").write_text("before")
    with pytest.raises(error), files.written_aside(tmp_path / "a") as aside:
        aside.write_text("half")
        raise error
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "before"


def test_a_failure_removes_a_half_written_folder(tmp_path):
    with pytest.raises(OSError), files.written_aside(tmp_path / "a") as aside:
        aside.mkdir()
        (aside / "file").write_text("half")
        raise OSError
    assert names(tmp_path) == []


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), files.written_aside(tmp_path / "a"):
        pass


def test_two_writers_do_not_meet(tmp_path):
    with files.written_aside(tmp_path / "a") as one, files.written_aside(tmp_path / "a") as two:
        one.write_text("one")
        two.write_text("two")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "one"  # the last to finish


def test_a_folder_takes_the_place_of_another(tmp_path):
    for content in ("old", "new"):
        with files.written_aside(tmp_path / "a") as aside:
            aside.mkdir()
            (aside / content).write_text(content)
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["new"]


def test_a_link_takes_the_place_of_a_link_and_of_a_folder(tmp_path):
    for folder in ("x", "y", "link"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(folder)
    for target in ("x", "y"):
        with files.written_aside(tmp_path / "link") as aside:
            aside.symlink_to(target)
        assert (tmp_path / "link" / "file").read_text() == target
    assert names(tmp_path) == ["link", "x", "y"]


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").write_text("")
    with pytest.raises(IsADirectoryError):
        files.write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"] and names(tmp_path / "a") == ["kept"]


def test_the_disk_holds_it_before_it_gets_its_name(tmp_path, monkeypatch):
    flushed, sync = [], os.fsync

    def spy(descriptor):
        flushed.append((os.readlink(f"/proc/self/fd/{descriptor}"), (tmp_path / "a").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    with files.written_aside(tmp_path / "a") as aside:
        aside.mkdir()
        (aside / "file").write_text("1")
    # The file, its folder, and at last the folder above, which then holds the new name.
    assert flushed == [(str(aside / "file"), False), (str(aside), False), (str(tmp_path), True)]


KILLED = """
import os, sys
from awsdet.runtime.files import written_aside
with written_aside(sys.argv[1]) as aside:
    aside.write_text("half")
    os._exit(0)
"""


def test_leftovers_of_a_killed_process_are_recognised(tmp_path):
    (tmp_path / "a").write_text("whole")
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)], check=True)
    assert len(names(tmp_path)) == 3
    files.remove_leftovers(tmp_path, "a")
    assert [name.startswith(".aside-b.") for name in names(tmp_path)] == [True, False]
    files.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "whole"
    files.remove_leftovers(tmp_path / "missing")


def test_removing(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("")
    (tmp_path / "link").symlink_to("folder")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "missing")
    assert names(tmp_path / "folder") == ["file"]
    files.remove_at_once(tmp_path / "folder")
    assert names(tmp_path) == []


def test_file_that_could_be_written_is_not_made(tmp_path):
    files.check_writable(tmp_path / "new" / "deep" / "o.json", "output")
    (tmp_path / "o.json").touch()
    files.check_writable(tmp_path / "o.json", "output")
    assert [path.name for path in tmp_path.iterdir()] == ["o.json"]


@pytest.mark.parametrize(
    "path, why",
    [("/", "is a folder; name a file"), ("file/o.json", "file is no folder"), ("gone/o.json", "is no folder")],
)
def test_file_that_cannot_be_written(tmp_path, path, why):
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="^--output=/.*" + why):
        files.check_writable(tmp_path / path, "output")


def test_folder_of_files_is_checked(tmp_path):
    (tmp_path / "file").touch()
    files.check_folder(tmp_path, "draw")
    files.check_folder(tmp_path / "new" / "deep", "draw")
    with pytest.raises(UserError, match="^--draw=/.*file is a file; name a folder"):
        files.check_folder(tmp_path / "file", "draw")
    with pytest.raises(UserError, match="file is no folder"):
        files.check_folder(tmp_path / "file" / "pictures", "draw")
    assert names(tmp_path) == ["file"]


def test_folder_that_one_may_not_write_to(tmp_path, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "Permission denied", str(path))  # root may write everywhere

    monkeypatch.setattr(files.pathlib.Path, "write_bytes", refuse)
    with pytest.raises(UserError, match=f"{tmp_path}: Permission denied; name another folder"):
        files.check_writable(tmp_path / "o.json", "output")
    with pytest.raises(UserError, match=f"^AWSDET_WEIGHTS={tmp_path} cannot be written: "):
        files.check_folder(tmp_path, "AWSDET_WEIGHTS")


def test_folder_in_which_the_system_lets_nobody_write():
    with pytest.raises(UserError, match="^--output=/proc/o.json cannot be written: /proc: "):
        files.check_writable("/proc/o.json", "output")


def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(UserError, match="^--output=/dev/null is a device or a pipe; name a file"):
        files.check_writable("/dev/null", "output")


def test_a_long_name_can_be_written_too(tmp_path):
    for name in ("x" * 255, "é" * 127, "🙂" * 63):
        files.write_text(tmp_path / name, name)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == names(tmp_path)
