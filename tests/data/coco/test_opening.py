import pytest
from PIL import Image

from awsdet.data.coco.opening import MOST_MEGAPIXELS, ImageRefused, check_megapixels, open_image
from awsdet.runtime.errors import UserError
from tests.mutilated import made_images

PREVIEW = (254, 4, [1])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"\0" * 100, "not an image of a known format"),
        (b"words", "not an image of a known format"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC image.*convert it to JPEG"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "a video"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"<!DOCTYPE html><html>", "web page.*download failed"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"<svg xmlns=''>", "SVG"),
        (b"PK\x03\x04", "zip"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "damaged PNG"),
        (b"II*\0\x08\0\0\0\0\0", "damaged TIFF"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "damaged JPEG"),
        (made_images.tiff(made_images.picture(), tags=[PREVIEW]), "reduced preview.*raw file"),
    ],
)
def test_what_is_no_image_is_named_for_what_it_is(data, words):
    with pytest.raises(ImageRefused, match=words) as refused:
        open_image(data, 10**9)
    assert refused.value.kind == "image_unreadable" and "\n" not in str(refused.value)


def test_postscript_is_not_given_to_a_program(monkeypatch):
    monkeypatch.setattr("subprocess.check_call", lambda *a, **k: pytest.fail("a program was started"))
    eps = made_images.saved(Image.fromarray(made_images.picture()), "EPS")
    with pytest.raises(ImageRefused, match="PostScript"):
        open_image(eps, 10**9)


def test_the_size_is_judged_before_anything_is_decoded():
    header = b"\x89PNG\r\n\x1a\n" + made_images.chunk(b"IHDR", b"\0\0\x40\0\0\0\x40\0\x08\x02\0\0\0")
    data = header + made_images.chunk(b"IDAT", b"no pixels")
    with pytest.raises(ImageRefused, match="16384 x 16384, 268.4 megapixels, .*limit of 250") as refused:
        open_image(data, 250_000_000)
    assert refused.value.kind == "image_too_large"
    assert open_image(data, 300_000_000).size == (16384, 16384)
    huge = header.replace(b"\0\0\x40\0\0\0\x40\0", b"\0\1\0\0\0\1\0\0")
    huge = huge[:8] + made_images.chunk(b"IHDR", huge[16:29]) + made_images.chunk(b"IDAT", b"")
    with pytest.raises(ImageRefused, match=f"4295 megapixels, and the decoder takes at most {MOST_MEGAPIXELS}"):
        open_image(huge, 536_000_000)


@pytest.mark.parametrize("value", [0, -1, 537, float("nan"), float("inf")])
def test_a_limit_beyond_what_can_be_decoded_is_refused(value):
    with pytest.raises(UserError, match=f"--max-megapixels={value}: .*at most {MOST_MEGAPIXELS}"):
        check_megapixels(value)
    assert check_megapixels(0.5) == 500_000
