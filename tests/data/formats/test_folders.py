"""What all translations read in the same manner."""

import os

import pytest

from awsdet.data.formats import folders
from awsdet.data.formats.folders import Images, Unreadable, decoded, upright_size, walk
from tests.data.formats.made import HEIGHT, WIDTH, picture


def test_links_are_followed_and_circles_end(files):
    folder = files({"a/1.jpg": "", "b/2.JPG": "", "b/3.txt": "", ".hidden/4.jpg": "", "b/.5.jpg": ""})
    outside = files({"6.jpg": ""}, "outside")
    os.symlink(folder, folder / "b" / "circle")
    os.symlink(outside, folder / "c")
    assert [path.relative_to(folder).as_posix() for path in walk(folder, (".jpg",))] == [
        "a/1.jpg",
        "b/2.JPG",
        "c/6.jpg",
    ]


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_sizes_are_those_of_the_upright_image(files, orientation):
    folder = files({"a.jpg": picture(orientation=orientation)})
    turned = orientation in (5, 6, 7, 8)
    assert upright_size(folder / "a.jpg") == ((WIDTH, HEIGHT) if turned else (HEIGHT, WIDTH))


def test_sizes_of_what_pillow_does_not_read(files):
    png = picture(kind="PNG")
    # A chunk that Pillow refuses; the decoder of the conversion passes over it.
    odd = png[:33] + b"\x00\x00\x00\x02iCCP\x00\x00" + b"\x00" * 4 + png[33:]
    folder = files({"odd.png": odd, "cut.jpg": picture()[:20], "text.png": "no image"})
    assert upright_size(folder / "odd.png") == (HEIGHT, WIDTH)
    assert [upright_size(folder / name) for name in ("cut.jpg", "text.png", "gone.png")] == [None] * 3


def test_images_are_found_by_their_stem_or_by_the_name_that_a_file_gives(files):
    folder = files({"a.jpg": "", "sub/e\u0301.png": "", "b.v2.jpg": ""})
    images = Images(folder)
    assert images.find("a", "C:\\x\\b.v2.jpg") == "a.jpg" and images.find("x", "./b.v2.jpg") == "b.v2.jpg"
    assert images.find("sub/\u00e9") == "sub/e\u0301.png"  # another spelling of the same letter
    assert images.find("b") is None and images.named("/far/a.jpg") == "a.jpg" and images.named("") is None


def test_what_is_no_text_is_told_with_its_place():
    assert (
        decoded("猫".encode("utf-32")) == decoded("猫".encode("utf-16")) == decoded(b"\xef\xbb\xbf\xe7\x8c\xab") == "猫"
    )
    with pytest.raises(Unreadable, match="its byte 1 .0xe9. is no UTF-8; save it as UTF-8"):
        decoded(b"a\xe9")
    with pytest.raises(Unreadable, match="is no UTF-16"):
        decoded(b"\xff\xfea")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(Unreadable, match="it is a pipe, not a file"):
        folders.read_text(tmp_path / "a.txt")
    assert upright_size(tmp_path / "a.txt") is None
