import io

import numpy as np
import pytest
from PIL import Image

from awsdet.data.coco.anomalies import KINDS
from awsdet.data.coco.images import ORIENTATION, ImageRefused, as_array, load_image, prepare_image
from awsdet.data.reader.parsing import decode_image
from awsdet.runtime.errors import UserError

HEIGHT, WIDTH = 24, 40


def smooth():
    """uint8 [HEIGHT, WIDTH, 3] that JPEG hardly changes; every rotation and reflection of it differs."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 6, y * 10, (x + y) * 3], axis=2).astype(np.uint8)


def encode(image, kind="JPEG", orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    out = io.BytesIO()
    image.save(out, kind, **({"quality": 98} if kind == "JPEG" else {}), exif=exif)
    return out.getvalue()


# What makes the camera's pixels upright, by the EXIF standard.
UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_turned_images_are_read_and_stored_upright(orientation, tmp_path):
    expected = UPRIGHT[orientation](smooth()).astype(int)
    data = encode(Image.fromarray(smooth()), orientation=orientation)
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.abs(load_image(tmp_path / "a.jpg") - expected).max() < 12
    stored = prepare_image(data, *expected.shape[:2])
    assert stored.notes == ("image_exif_rotated",) and stored.format == "jpeg"
    assert (stored.height, stored.width) == expected.shape[:2]
    decoded = decode_image(stored.encoded).numpy()
    assert np.abs(decoded - expected).max() < 16
    assert Image.open(io.BytesIO(stored.encoded)).getexif().get(ORIENTATION) is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_turned_images_of_other_formats_lose_their_tag_too(kind):
    stored = prepare_image(encode(Image.fromarray(smooth()), kind, orientation=6), WIDTH, HEIGHT)
    assert stored.format == "png"
    assert "image_exif_rotated" in stored.notes or kind == "TIFF"  # Pillow turns those itself
    image = Image.open(io.BytesIO(stored.encoded))
    assert image.size == (HEIGHT, WIDTH) and image.getexif().get(ORIENTATION) is None


def test_a_broken_exif_block_turns_nothing(tmp_path):
    data = encode(Image.fromarray(smooth()), orientation=6)
    start = data.index(b"Exif")
    (tmp_path / "a.jpg").write_bytes(data[: start + 6] + b"\xff" * 8 + data[start + 14 :])
    assert load_image(tmp_path / "a.jpg").shape == (HEIGHT, WIDTH, 3)


def test_exif_is_ignored_where_the_annotations_ignore_it():
    data = encode(Image.fromarray(smooth()), orientation=6)
    stored = prepare_image(data, HEIGHT, WIDTH)
    assert stored.notes == ("image_exif_ignored",) and stored.encoded == data
    assert decode_image(stored.encoded).shape == (HEIGHT, WIDTH, 3)


def test_plain_images_are_stored_byte_for_byte():
    for kind in ("JPEG", "PNG"):
        data = encode(Image.fromarray(smooth()), kind)
        stored = prepare_image(data, HEIGHT, WIDTH)
        assert (stored.encoded, stored.format, stored.notes) == (data, kind.lower(), ())


@pytest.mark.parametrize(
    "mode, kind, note",
    [
        ("L", "JPEG", "image_grey"),
        ("L", "PNG", "image_grey"),
        ("CMYK", "JPEG", "image_cmyk"),
        ("P", "PNG", "image_reencoded"),
        ("RGBA", "PNG", "image_reencoded"),
        ("1", "PNG", "image_reencoded"),
        ("RGB", "BMP", "image_reencoded"),
        ("RGB", "TIFF", "image_reencoded"),
        ("RGB", "WEBP", "image_reencoded"),
    ],
)
def test_every_kind_of_image_reads_as_the_same_rgb_everywhere(mode, kind, note, tmp_path):
    data = encode(Image.fromarray(smooth()).convert(mode), kind)
    (tmp_path / "image").write_bytes(data)
    stored = prepare_image(data, HEIGHT, WIDTH)
    assert stored.notes == (note,)
    decoded = decode_image(stored.encoded).numpy()
    assert decoded.shape == (HEIGHT, WIDTH, 3) and decoded.dtype == np.uint8
    tolerance = 8 if mode == "CMYK" else 0  # encoded again as JPEG
    assert np.abs(decoded.astype(int) - load_image(tmp_path / "image")).max() <= tolerance


def test_16_bit_grey_keeps_its_high_byte():
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 68
    stored = prepare_image(encode(Image.fromarray(pixels), "PNG"), HEIGHT, WIDTH)
    assert stored.notes == ("image_16_bit",) and stored.format == "png"
    np.testing.assert_array_equal(decode_image(stored.encoded).numpy()[:, :, 1], pixels >> 8)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_images_are_refused(share, tmp_path):
    data = encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)))
    data = data[: int(len(data) * share)]
    with pytest.raises(ImageRefused) as refused:
        prepare_image(data, 64, 64)
    assert refused.value.kind == "image_unreadable"
    (tmp_path / "cut.jpg").write_bytes(data)
    with pytest.raises(UserError, match=r"cannot read image .*cut\.jpg"):
        load_image(tmp_path / "cut.jpg")


def test_pixels_that_are_floats_are_refused(tmp_path):
    """Pillow would clip them to 0 and 255, so that values from 0 to 1 are a black image."""
    image = Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32))
    image.save(tmp_path / "float.tif")
    with pytest.raises(ImageRefused, match="floating-point") as refused:
        prepare_image((tmp_path / "float.tif").read_bytes(), HEIGHT, WIDTH)
    assert refused.value.kind == "image_of_floats" and KINDS[refused.value.kind].skips
    with pytest.raises(UserError, match=r"cannot read image .*float\.tif: its pixels are floating-point numbers"):
        load_image(tmp_path / "float.tif")
    for wrong in (image, Image.new("RGB", (0, 5))):
        with pytest.raises(ValueError, match="must have pixels of 8 or 16 bits"):
            as_array(wrong)


def test_an_image_that_is_too_large_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH // 2 - 1)
    data = encode(Image.fromarray(smooth()))
    with pytest.raises(ImageRefused, match=f"more than {HEIGHT * WIDTH - 2} pixels; make it smaller") as refused:
        prepare_image(data, HEIGHT, WIDTH)
    assert refused.value.kind == "image_unreadable"


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: No such file"):
        load_image(tmp_path / "gone.jpg")


def test_sizes_are_checked_or_taken_from_the_image():
    data = encode(Image.fromarray(smooth()))
    with pytest.raises(ImageRefused, match="40 x 24, not 41 x 24") as refused:
        prepare_image(data, HEIGHT, WIDTH + 1)
    assert refused.value.kind == "image_size_differs"
    stored = prepare_image(data)
    assert (stored.height, stored.width, stored.notes) == (HEIGHT, WIDTH, ("image_size_absent",))
    turned = prepare_image(encode(Image.fromarray(smooth()), orientation=8))
    assert (turned.height, turned.width) == (WIDTH, HEIGHT)
