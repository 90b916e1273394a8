import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet.data.coco import decoding
from awsdet.data.coco.anomalies import KINDS
from awsdet.data.coco.images import ImageRefused, as_array, load_image, prepare_image
from awsdet.data.coco.opening import ORIENTATION, settle_pillow
from awsdet.data.reader.parsing import decode_image
from awsdet.runtime.errors import UserError
from tests.mutilated import made_images

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


@pytest.mark.parametrize("name", made_images.every_kind())
def test_every_format_is_stored_so_that_the_reader_decodes_what_prediction_reads(name, tmp_path):
    """The record and the file give the same pixels; only JPEG that is encoded anew loses a little."""
    data = made_images.every_kind()[name]
    (tmp_path / "image").write_bytes(data)
    stored, loaded = prepare_image(data), load_image(tmp_path / "image")
    decoded = decode_image(stored.encoded).numpy()
    assert decoded.shape == loaded.shape == (stored.height, stored.width, 3)
    again = stored.format == "jpeg" and stored.encoded != data
    assert np.abs(decoded.astype(int) - loaded).max() <= (6 if again else 0)
    assert loaded.max() > 140 and loaded.min() < 110  # neither black nor white


NOTES = {
    "png_alpha": {"image_alpha", "image_reencoded"},
    "png_one_transparent": {"image_alpha"},
    "webp_lossless": {"image_alpha", "image_reencoded"},
    "apng": {"image_frames"},
    "mpo": {"image_frames"},
    "gif_animated": {"image_frames", "image_reencoded"},
    "gif": {"image_reencoded"},
    "tiff_pages": {"image_frames", "image_reencoded"},
    "tiff_cmyk": {"image_cmyk"},
    "png_interlaced": set(),
    "png_colour_16": {"image_16_bit"},
    "tiff_float": {"image_float"},
}


@pytest.mark.parametrize("name", NOTES)
def test_what_is_lost_on_the_way_is_counted(name):
    assert set(prepare_image(made_images.every_kind()[name]).notes) - {"image_size_absent"} == NOTES[name]


def cut_before_the_end(png):
    return png[:-12]


def wrong_checksum_of_the_pixels(png):
    *first, (kind, content), end = made_images.chunks(png)
    parts = [made_images.chunk(*one) for one in first]
    return png[:8] + b"".join([*parts, made_images.chunk(kind, content, damaged=True), made_images.chunk(*end)])


def wrong_checksum_of_a_text(png):
    header, *rest = (made_images.chunk(*one) for one in made_images.chunks(png))
    return png[:8] + b"".join([header, made_images.chunk(b"tEXt", b"a\0b", damaged=True), *rest])


@pytest.mark.parametrize("harm", [cut_before_the_end, wrong_checksum_of_the_pixels, wrong_checksum_of_a_text])
def test_a_png_that_only_one_decoder_takes_is_stored_anew(harm, tmp_path):
    data = harm(encode(Image.fromarray(smooth()), "PNG"))
    stored = prepare_image(data, HEIGHT, WIDTH)
    assert stored.notes == ("image_repaired",) and stored.encoded != data
    np.testing.assert_array_equal(decode_image(stored.encoded).numpy(), smooth())
    assert Image.open(io.BytesIO(stored.encoded)).size == (WIDTH, HEIGHT)
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png"), smooth())


@pytest.mark.parametrize("end", [b"\0" * 50 + b"\xff\xd9", b"", b"\xff"])
def test_a_jpeg_is_kept_or_refused_as_the_reader_would(end):
    """Bytes before the end marker do no harm; without the marker, the reader refuses the image."""
    data = encode(Image.fromarray(smooth()))[:-2] + end
    if end.endswith(b"\xd9"):
        assert prepare_image(data, HEIGHT, WIDTH).encoded == data
        assert decode_image(data).shape == (HEIGHT, WIDTH, 3)
        return
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(data)
    with pytest.raises(ImageRefused, match="truncated"):
        prepare_image(data, HEIGHT, WIDTH)


def test_pillow_images_are_read_by_the_same_rules():
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    np.testing.assert_array_equal(as_array(Image.fromarray(ramp))[0, :, 1], np.arange(256))
    for wrong, words in (
        (ramp * 255, "reach from 0 to 255"),
        (ramp - 0.5, "reach from -0.5"),
        ((ramp * 4095).astype(np.uint16), "reach only 4095 of 65535"),
        ((ramp * 255).astype(np.int32), "32-bit integers from 0 to 255"),
    ):
        with pytest.raises(ValueError, match=words):
            as_array(Image.fromarray(wrong))
    dark = made_images.png((ramp[:, :, np.newaxis] * [4095, 4095, 4095]).astype(np.uint16), 16, made_images.COLOUR)
    with pytest.raises(ValueError, match="reach at most 4095 of 65535"):
        as_array(Image.open(io.BytesIO(dark)))
    with pytest.raises(ValueError, match="must have pixels"):
        as_array(Image.new("RGB", (0, 5)))
    with pytest.raises(ValueError, match="mode LAB"):
        as_array(Image.new("LAB", (2, 2)))


def test_an_image_that_is_too_large_is_named_with_its_pixels_and_the_cure(tmp_path):
    data = encode(Image.fromarray(smooth()))
    with pytest.raises(ImageRefused, match="large: 40 x 24, 0.00096 megapixels, .*raise the limit") as refused:
        prepare_image(data, HEIGHT, WIDTH, max_pixels=HEIGHT * WIDTH - 1)
    assert refused.value.kind == "image_too_large" and KINDS[refused.value.kind].skips
    assert prepare_image(data, HEIGHT, WIDTH, max_pixels=HEIGHT * WIDTH).encoded == data
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.jpg: it is large"):
        load_image(tmp_path / "a.jpg", max_pixels=HEIGHT * WIDTH - 1)


@pytest.mark.parametrize(("mode", "orientation"), [("RGB", None), ("RGB", 6), ("CMYK", None)])
def test_a_jpeg_too_large_for_the_readers_decoder_is_stored_as_png(mode, orientation, tmp_path, monkeypatch):
    """TensorFlow decodes JPEG of up to 178.9 megapixels in colour, and PNG of three times as many."""
    monkeypatch.setattr(decoding, "MOST_JPEG_BYTES", HEIGHT * WIDTH * 3 - 1)
    data = encode(Image.fromarray(smooth()).convert(mode), orientation=orientation)
    stored = prepare_image(data)
    assert stored.format == "png" and stored.encoded.startswith(b"\x89PNG") and "image_repaired" not in stored.notes
    (tmp_path / "a.jpg").write_bytes(data)
    np.testing.assert_array_equal(decode_image(stored.encoded).numpy(), load_image(tmp_path / "a.jpg"))
    assert prepare_image(encode(Image.fromarray(smooth()).convert("L"))).format == "jpeg"  # a third of the bytes


def test_pillows_own_limit_does_not_count(monkeypatch, recwarn):
    """It warns of a decompression bomb at 89 megapixels, and refuses at 179."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("JPEG", "PNG", "BMP"):
        assert prepare_image(encode(Image.fromarray(smooth()), kind), HEIGHT, WIDTH).height == HEIGHT
    tiff = encode(Image.fromarray(smooth()), "TIFF")
    with pytest.raises(ImageRefused, match="MAX_IMAGE_PIXELS") as refused:
        prepare_image(tiff)  # Pillow looks at the limit once more, which a process of a command switches off
    assert refused.value.kind == "image_too_large"
    with warnings.catch_warnings():
        settle_pillow()
        assert prepare_image(tiff, HEIGHT, WIDTH).height == HEIGHT
    assert not [w for w in recwarn if w.category is Image.DecompressionBombWarning]


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


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, colour=0, bits=8, interlaced=0, extra=b""):
    """A PNG of 8 x 6 px with a sound structure that holds these rows, whatever they are."""
    header = struct.pack(">IIBBBBB", 8, 6, bits, colour, 0, 0, interlaced)
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    "colour, bits, size",
    [(0, 8, 9), (2, 8, 25), (4, 8, 17), (6, 8, 33), (6, 16, 65), (0, 1, 2), (0, 16, 17)],
)
def test_a_png_that_lacks_rows_is_refused_and_not_filled_with_black(colour, bits, size):
    rows = b"".join(b"\0" + b"\xd5" * (size - 1) for _ in range(6))
    assert prepare_image(png(rows, colour, bits), 6, 8).height == 6
    for missing in (size, 3 * size):
        words = f"truncated PNG: it holds {6 * size - missing} of the {6 * size} bytes"
        with pytest.raises(ImageRefused, match=words):
            prepare_image(png(rows[:-missing], colour, bits), 6, 8)
    with pytest.raises(ImageRefused, match="truncated"):  # Pillow sees that a part of a row is missing
        prepare_image(png(rows[:-1], colour, bits), 6, 8)


def test_an_interlaced_png_that_lacks_rows_is_refused():
    for mode in ("RGBA", "LA", "P"):
        image = Image.fromarray(smooth()).convert(mode)
        out = io.BytesIO()
        image.save(out, "PNG", interlace=1)
        assert prepare_image(out.getvalue(), HEIGHT, WIDTH).height == HEIGHT
    rows = bytes(2 + 2 + 3 + 2 * 3 + 5 + 3 * 5 + 3 * 9)
    assert prepare_image(png(rows, interlaced=1), 6, 8).notes == ("image_grey",)
    with pytest.raises(ImageRefused, match="truncated PNG: it holds 51 of the 60 bytes"):
        prepare_image(png(rows[:-9], interlaced=1), 6, 8)


def test_a_palette_png_without_a_palette_is_refused():
    rows, palette = (b"\0" + bytes(range(8))) * 6, png_chunk(b"PLTE", bytes(range(24)))
    stored = prepare_image(png(rows, colour=3, extra=palette), 6, 8)
    assert decode_image(stored.encoded).numpy()[0, 1].tolist() == [3, 4, 5]
    for extra in (b"", png_chunk(b"PLTE", b"")):
        with pytest.raises(ImageRefused, match="palette|PNG"):
            prepare_image(png(rows, colour=3, extra=extra), 6, 8)
