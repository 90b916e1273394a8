import os
import socket
import unicodedata

import pytest

from awsdet.data.coco.files import find_file, read_file


def test_regular_files_are_read_through_links(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    assert read_file(tmp_path / "a") == read_file(tmp_path / "link") == b"content"


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.jpg").mkdir()
    for name, words in (("pipe", "it is a pipe, not a file"), ("folder.jpg", "it is a folder")):
        with pytest.raises(OSError, match=words):
            read_file(tmp_path / name)
    with pytest.raises(OSError, match="it is a device"):
        read_file("/dev/zero")
    with socket.socket(socket.AF_UNIX) as opened:
        os.chdir(tmp_path)  # a socket's path must be short
        opened.bind("socket")
        with pytest.raises(OSError):
            read_file(tmp_path / "socket")


@pytest.mark.parametrize("name", ["gone", "nul\0", "half\ud800", "gone/deeper"])
def test_a_name_without_a_file_is_not_found(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        read_file(find_file(tmp_path, name).path)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_the_other_spelling_of_a_name_is_found(tmp_path, forms):
    listed, on_disk = (unicodedata.normalize(form, "größe/café.jpg") for form in forms)
    (tmp_path / on_disk).parent.mkdir()
    (tmp_path / on_disk).write_bytes(b"here")
    found = find_file(tmp_path, listed)
    assert read_file(found.path) == b"here" and found.renamed == (forms[0] != forms[1])


def test_a_file_with_the_listed_spelling_comes_first(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "é")).write_text(form)
    assert read_file(find_file(tmp_path, unicodedata.normalize("NFD", "é")).path) == b"NFD"
    assert read_file(find_file(tmp_path, unicodedata.normalize("NFC", "é")).path) == b"NFC"
