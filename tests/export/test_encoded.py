"""Encoded images become the pixels that Python reads, upright."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from awsdet.data.coco.images import as_array
from awsdet.export.encoded import orientation, upright

decode = tf.function(upright, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
read_tag = tf.function(orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def picture(mode="RGB"):
    random = np.random.default_rng(4)
    small = Image.fromarray(random.integers(0, 255, (5, 7, 3), np.uint8)).resize((53, 37), Image.Resampling.BICUBIC)
    return small.convert(mode)


def encoded(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def python_reads(data, path):
    path.write_bytes(data)
    return as_array(path)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_orientations(tmp_path, tag, order):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x0131] = "maker", tag, "software"
    exif.endian = "<" if order == b"II" else ">"
    data = encoded(picture(), "JPEG", exif=exif.tobytes(), comment=b"before or after", quality=93)
    assert order in data[:64]
    assert read_tag(data) == tag
    np.testing.assert_array_equal(decode(data), python_reads(data, tmp_path / "a.jpg"))


@pytest.mark.parametrize(
    "mode,form", [("RGB", "PNG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("L", "JPEG"), ("RGB", "BMP")]
)
def test_formats(tmp_path, mode, form):
    data = encoded(picture(mode), form)
    np.testing.assert_array_equal(decode(data), python_reads(data, tmp_path / f"a.{form.lower()}"))


def test_the_first_frame_of_a_gif():
    frames = [picture("P"), picture("P").rotate(180)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).shape == (37, 53, 3)


def test_broken_tags_mean_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    good = encoded(picture(), "JPEG", exif=exif.tobytes())
    assert read_tag(good) == 6
    start = good.index(b"Exif\0\0") + 6
    random = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(good)
        for place in random.integers(2, start + 30, 3):
            data[place] = random.integers(256)
        assert 1 <= read_tag(bytes(data)) <= 8
    for length in (0, 1, 2, 3, 5, 9, start, start + 9, start + 17):
        assert read_tag(good[:length]) == 1
    assert read_tag(b"\xff\xd8" + b"\xff\xe1\x00\x00" * 9) == 1
