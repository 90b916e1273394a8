"""Everything in a folder is read, or skipped with a reason, or counted as no image."""

import os
import pathlib

import pytest

from awsdet.inference.find_images import IMAGE_SUFFIXES, counted, find_images
from awsdet.runtime.errors import UserError
from tests.mutilated import made_images

JPEG = made_images.saved(made_images.picture(), "JPEG")


def names(found, root):
    return [path.relative_to(root).as_posix() for path in found.paths]


def reasons(found, root):
    return {one.path.relative_to(root).as_posix(): (one.reason, one.lost) for one in found.skipped}


def test_images_are_found_by_suffix_or_by_what_they_begin_with(tmp_path):
    (tmp_path / "deeper" / "folder.jpg").mkdir(parents=True)
    there = ["B.JPG", "a.jfif", "b.jpe", "c.webp", "d.tif", ".hidden.png", "deeper/folder.jpg/e.jpeg"]
    for name in there:
        (tmp_path / name).write_bytes(JPEG)
    for name in ("no_suffix", "odd.suffix", "photo.txt"):
        (tmp_path / name).write_bytes(JPEG)
    for name in ("empty.png", "f.heic", "g.jp2", "h.avif"):  # what cannot be read is named when it is read
        (tmp_path / name).touch()
    for name in ("a.txt", "b.TXT", "c.json", "Thumbs.db", "README"):
        (tmp_path / name).write_text("words")
    (tmp_path / "._B.JPG").write_bytes(b"\0\x05\x16\x07" + bytes(60))
    found = find_images(tmp_path)
    extra = ["no_suffix", "odd.suffix", "photo.txt", "empty.png", "f.heic", "g.jp2", "h.avif"]
    assert sorted(names(found, tmp_path)) == sorted([*there, *extra]) and found.paths == sorted(found.paths)
    assert found.others == {"": 1, ".db": 1, ".jpg": 1, ".json": 1, ".txt": 2}
    assert found.skipped == []
    assert counted(found.others) == "1 without a suffix, 1 .db, 1 .jpg, 1 .json, 2 .txt"


@pytest.mark.parametrize("name", made_images.every_kind())
def test_images_without_a_suffix_are_known(tmp_path, name):
    """Only formats without a telling beginning need a suffix, which all of them have in the list."""
    (tmp_path / "photo").write_bytes(made_images.every_kind()[name])
    (tmp_path / "a.png").write_bytes(JPEG)
    found = find_images(tmp_path)
    if name in ("bmp", "ppm", "pgm_16", "pcx", "sgi", "qoi", "ico", "tga"):
        assert found.others == {"": 1} and f".{name[:3]}" in IMAGE_SUFFIXES
    else:
        assert len(found.paths) == 2


def test_links_are_followed_and_a_folder_is_read_once(tmp_path):
    folder, outside = tmp_path / "in", tmp_path / "out"
    for path in (folder / "real", outside / "deep"):
        path.mkdir(parents=True)
        (path / "a.jpg").write_bytes(JPEG)
    (folder / "file.jpg").symlink_to(outside / "deep" / "a.jpg")
    (folder / "bare").symlink_to(outside / "deep" / "a.jpg")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "again").symlink_to("real")  # comes before "real" in the list of names
    (folder / "real" / "up").symlink_to("..")
    (outside / "deep" / "back").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    (folder / "broken.txt").symlink_to("nowhere.txt")
    found = find_images(folder)
    assert names(found, folder) == ["bare", "elsewhere/deep/a.jpg", "file.jpg", "real/a.jpg"]
    skipped = reasons(found, folder)
    assert set(skipped) == {"again", "real/up", "elsewhere/deep/back", "itself", "broken.jpg"}
    assert skipped["again"] == (f"another name of the folder {folder / 'real'}, whose images are read there", False)
    assert not skipped["real/up"][1] and not skipped["elsewhere/deep/back"][1]
    assert skipped["broken.jpg"] == ("a link to nowhere.jpg, which cannot be opened: No such file or directory", True)
    assert skipped["itself"][1] and "symbolic links" in skipped["itself"][0]
    assert found.others == {".txt": 1}


def test_a_link_as_input_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(JPEG)
    (tmp_path / "link").symlink_to("real")
    assert names(find_images(tmp_path / "link"), tmp_path) == ["link/a.jpg"]
    assert names(find_images(tmp_path / "link" / "a.jpg"), tmp_path) == ["link/a.jpg"]


def test_pipes_and_devices_are_named_and_not_waited_for(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null.png").symlink_to("/dev/null")
    found = find_images(tmp_path)
    assert names(found, tmp_path) == ["a.jpg"] and found.others == {"pipe": 1}
    assert reasons(found, tmp_path) == {
        "null.png": ("it is a device, not a file", True),
        "pipe.jpg": ("it is a pipe, not a file", True),
    }
    with pytest.raises(UserError, match=r"pipe\.jpg is a pipe; give an image or a folder"):
        find_images(tmp_path / "pipe.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(tmp_path):
    (tmp_path / "locked").mkdir(0)
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "secret").touch(0)
    skipped = reasons(find_images(tmp_path), tmp_path)
    assert "Permission denied" in skipped["locked"][0] and "Permission denied" in skipped["secret"][0]


def test_names_of_any_bytes_are_found(tmp_path):
    for name in (b"caf\xe9.jpg", b"new\nline.png", b"[1]*.gif"):
        (pathlib.Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).write_bytes(JPEG)
    assert len(find_images(tmp_path).paths) == 3


def test_a_folder_without_images_is_refused_with_what_is_there(tmp_path):
    with pytest.raises(UserError, match="has no images that can be read$"):
        find_images(tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="has no images that can be read; it has 1 .txt$"):
        find_images(tmp_path)
    (tmp_path / "b.jpg").symlink_to("gone")
    with pytest.raises(UserError, match=r"b\.jpg: a link to gone, which cannot be opened.*; it has 1 .txt$"):
        find_images(tmp_path)
    with pytest.raises(UserError, match="does not exist; give an image or a folder of images"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has a null character, which no path can have"):
        find_images(tmp_path / "nul\0")
