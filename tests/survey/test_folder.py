"""The folder of the pages: whose files are in it, and what happens to them."""

import os
import pathlib
import shutil

import pytest

from awsdet.runtime.errors import UserError
from awsdet.survey.folder import check, replaced


def entries(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def pages(odd_pages, tmp_path):
    return shutil.copytree(odd_pages[0], tmp_path / "pages")


def test_a_new_an_empty_and_an_earlier_folder_are_taken(pages, tmp_path):
    before = entries(pages)
    check(pages)
    check(tmp_path / "new" / "deep")
    (tmp_path / "empty").mkdir()
    check(tmp_path / "empty")
    assert entries(pages) == before and not (tmp_path / "new").exists() and entries(tmp_path / "empty") == []


def note(pages):
    (pages / "notes.txt").write_text("mine")
    return "notes.txt"


def own_index(pages):
    (pages / "index.html").write_text("<html>my own page</html>")
    return "index.html"


def picture_in_a_split(pages):
    shutil.copy(pages / "train" / "random-01.jpg", pages / "train" / "random-99.jpg")
    return "train"


def folder_of_pictures(pages):
    shutil.copytree(pages / "train", pages / "photos")
    (pages / "photos" / "index.html").unlink()
    return "photos"


def hidden(pages):
    (pages / ".git").mkdir()
    return ".git"


def link(pages):
    (pages / "val" / "extra.jpg").symlink_to(pages / "train" / "random-01.jpg")
    return "val"


@pytest.mark.parametrize("add", [note, own_index, picture_in_a_split, folder_of_pictures, hidden, link])
def test_a_folder_with_files_of_others_is_refused_and_stays_as_it_is(pages, add):
    name = add(pages)
    before = entries(pages)
    with pytest.raises(UserError, match=f"holds {name}, which awsdet inspect did not write; name a new folder"):
        check(pages)
    assert entries(pages) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "pages", pathlib.Path("/proc/pages")):
        with pytest.raises(UserError, match=f"--draw={folder} "):
            check(folder)


def test_the_old_pages_stay_until_the_new_ones_are_whole(pages):
    before = entries(pages)
    with pytest.raises(OSError, match="full"), replaced(pages) as new:
        (new / "index.html").write_text("half")
        assert entries(pages)[1:] != before  # written inside, so that no other file system is in the way
        raise OSError("full")
    assert entries(pages) == before
    with replaced(pages) as new:
        (new / "test").mkdir()
        (new / "index.html").write_text("whole")
    assert entries(pages) == ["index.html", "test"]


def test_what_a_killed_call_left_is_removed(pages):
    (pages / ".aside-pages.1234").mkdir()
    (pages / ".aside-pages.1234" / "index.html").write_text("half")
    check(pages)
    with replaced(pages) as new:
        (new / "index.html").write_text("whole")
    assert os.listdir(pages) == ["index.html"]
