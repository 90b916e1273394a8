"""Which value is white: by what the file states, or by a custom that is used well, or the image is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from awsdet.data.coco.anomalies import KINDS
from awsdet.data.coco.images import ImageRefused, prepare_image
from awsdet.data.reader.parsing import decode_image
from tests.mutilated import made_images
from tests.mutilated.made_images import COLOUR, COLOUR_ALPHA, GREY, png, tiff

MAX_VALUE, FLOAT_MIN, FLOAT_MAX, EXTRA_SAMPLES = 281, 340, 341, 338
SHORT, FLOAT = 3, 11
RAMP = np.linspace(0, 1, 64).reshape(4, 16)  # from black to white


def stored(data):
    """(red, notes) of what is stored of a file."""
    image = prepare_image(data)
    return decode_image(image.encoded).numpy()[:, :, 0], set(image.notes) - {"image_size_absent"}


def sixteen(most, kind=np.uint16):
    return np.round(RAMP * most).astype(kind)


def eight(values, white):
    return np.floor(values.astype(np.float64) / white * 255 + 0.5)


@pytest.mark.parametrize("most", [65535, 40000, 16384])
@pytest.mark.parametrize("make", [tiff, lambda v: tiff(v, order=">"), lambda v: png(v[:, :, np.newaxis], 16, GREY)])
def test_16_bits_of_which_a_quarter_is_used_give_their_high_byte(make, most):
    red, notes = stored(make(sixteen(most)))
    np.testing.assert_array_equal(red, sixteen(most) >> 8)
    assert notes == {"image_16_bit"}


@pytest.mark.parametrize("most", [1, 255, 1023, 4095, 16383])
@pytest.mark.parametrize(
    "make",
    [
        tiff,
        lambda v: tiff(v, order=">"),
        lambda v: png(v[:, :, np.newaxis], 16, GREY),
        lambda v: png(np.repeat(v[:, :, np.newaxis], 3, axis=2), 16, COLOUR),
        lambda v: png(np.stack([v, v, v, v * 0 + 65535], axis=2), 16, COLOUR_ALPHA),
        lambda v: tiff(np.repeat(v[:, :, np.newaxis], 3, axis=2)),
    ],
)
def test_few_bits_in_16_are_refused(make, most):
    """They would be black, or nearly so; and nothing says how many bits there are. An alpha channel says nothing."""
    with pytest.raises(ImageRefused, match=r"16-bit values reach (only|at most) \d+ of 65535.*with 8 bits") as refused:
        prepare_image(make(sixteen(most)))
    assert refused.value.kind == "image_range_unknown" and KINDS[refused.value.kind].skips


def test_an_image_that_is_all_black_stays_black():
    for data in (tiff(np.zeros((4, 16), np.uint16)), tiff(np.zeros((4, 16), np.float32), 3)):
        assert stored(data)[0].max() == 0


@pytest.mark.parametrize("most", [1023, 4095, 1000, 30000])
def test_the_largest_value_that_a_tiff_states_is_white(most):
    for data in (
        tiff(sixteen(most), tags=[(MAX_VALUE, SHORT, [most])]),
        tiff(sixteen(most, np.int16), 2, tags=[(MAX_VALUE, SHORT, [most])]),
        tiff(sixteen(most, np.uint32), tags=[(MAX_VALUE, SHORT, [most])]),
    ):
        red, notes = stored(data)
        np.testing.assert_array_equal(red, eight(sixteen(most), most))
        assert notes == {"image_scaled"}


def test_values_beyond_what_the_tiff_states_are_refused():
    with pytest.raises(ImageRefused, match="reach from 0 to 4095, but it states 0 to 1023"):
        prepare_image(tiff(sixteen(4095), tags=[(MAX_VALUE, SHORT, [1023])]))


def test_bits_per_sample_of_12_are_scaled_by_them():
    values = sixteen(3000)
    pairs = values.reshape(4, 8, 2)
    packed = np.stack([pairs[..., 0] >> 4, (pairs[..., 0] & 15) << 4 | pairs[..., 1] >> 8, pairs[..., 1] & 255], axis=2)
    red, notes = stored(tiff(packed.reshape(4, 24).astype(np.uint8), bits=12))
    np.testing.assert_array_equal(red, eight(values, 4095))
    assert notes == {"image_scaled"}


def test_maxval_of_a_pgm_is_white():
    for white in (1000, 4095, 65535):
        data = b"P5 16 4 %d\n" % white + sixteen(white).astype(">u2").tobytes()
        assert np.abs(stored(data)[0] - eight(sixteen(white), white)).max() <= 1


def test_white_is_zero_where_a_tiff_says_so():
    values = sixteen(65535)
    np.testing.assert_array_equal(stored(tiff(values, photometric=0))[0], 255 - (values >> 8))
    np.testing.assert_array_equal(stored(tiff(RAMP.astype(np.float32), 3, 0))[0], 255 - eight(RAMP, 1))


@pytest.mark.parametrize("order", "<>")
def test_floats_from_0_to_1_are_scaled(order):
    red, notes = stored(tiff(RAMP.astype(np.float32), 3, order=order))
    np.testing.assert_array_equal(red, eight(RAMP.astype(np.float32), 1))
    assert notes == {"image_float"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAMP * 255, "reach from 0 to 255, and only 0 to 1 is a known range"),
        (RAMP * 2 - 1, "reach from -1 to 1"),
        (RAMP * 0.1, "reach only 0.1 of 1"),
        (RAMP * 1e-30, "reach only"),
        (np.where(RAMP > 0.5, np.nan, RAMP), "not finite"),
        (np.where(RAMP > 0.5, np.inf, RAMP), "not finite"),
    ],
)
def test_other_floats_are_refused(values, words):
    with pytest.raises(ImageRefused, match=words) as refused:
        prepare_image(tiff(values.astype(np.float32), 3))
    assert refused.value.kind == "image_of_floats" and KINDS[refused.value.kind].skips


def test_floats_are_scaled_by_the_span_that_a_tiff_states():
    tags = [(FLOAT_MIN, FLOAT, [-20.0]), (FLOAT_MAX, FLOAT, [60.0])]
    red, _ = stored(tiff((RAMP * 80 - 20).astype(np.float32), 3, tags=tags))
    assert np.abs(red - eight(RAMP, 1)).max() <= 1 and red.max() == 255 and red.min() == 0
    with pytest.raises(ImageRefused, match="reach from -20 to 80, but it states -20 to 60"):
        prepare_image(tiff((RAMP * 100 - 20).astype(np.float32), 3, tags=tags))


@pytest.mark.parametrize(
    ("values", "sample_format", "words"),
    [
        (sixteen(255, np.uint32), 1, "32-bit integers from 0 to 255"),
        (sixteen(2**31 - 1, np.uint32), 1, "32-bit integers"),
        (sixteen(32767, np.int16), 2, "signed integers from 0 to 32767"),
        (sixteen(32767, np.int16) - 16000, 2, "signed integers from -16000"),
        (sixteen(2000, np.int32), 2, "signed integers"),
        (sixteen(127, np.int8), 2, "signed integers"),
    ],
)
def test_integers_without_a_custom_are_refused(values, sample_format, words):
    with pytest.raises(ImageRefused, match=words) as refused:
        prepare_image(tiff(values, sample_format))
    assert refused.value.kind == "image_range_unknown"


def test_colours_that_are_not_red_green_and_blue():
    colour = made_images.picture()
    with pytest.raises(ImageRefused, match="mode LAB.*as RGB") as refused:
        prepare_image(tiff(colour, photometric=8))
    assert refused.value.kind == "image_mode" and KINDS["image_mode"].skips
    luma = Image.fromarray(colour).convert("YCbCr")
    image = prepare_image(tiff(np.asarray(luma), photometric=6))
    assert np.abs(decode_image(image.encoded).numpy().astype(int) - colour).max() <= 4
    with pytest.raises(ImageRefused, match="damaged TIFF: Invalid value for samples per pixel"):
        prepare_image(tiff(np.zeros((4, 4, 7), np.uint8)))
    with pytest.raises(ImageRefused, match="damaged TIFF"):
        prepare_image(tiff(np.zeros((4, 4, 3), np.float32), 3))


def test_inverted_cmyk_of_adobe_is_not_inverted_twice():
    colour = made_images.picture()
    for kind in ("JPEG", "TIFF"):  # Pillow writes JPEG as Adobe does, with an APP14 marker
        data = made_images.saved(Image.fromarray(colour).convert("CMYK"), kind)
        assert np.abs(decode_image(prepare_image(data).encoded).numpy().astype(int) - colour).max() <= 6


def test_alpha_is_dropped_and_counted_unless_it_is_all_opaque():
    colour = made_images.picture()
    near = np.full((24, 40, 1), 77, np.uint8)
    for last, noted in ((np.full_like(near, 255), False), (near, True)):
        data = png(np.concatenate([colour, last], axis=2), 8, COLOUR_ALPHA)
        image = prepare_image(data)
        assert ("image_alpha" in image.notes) == noted
        np.testing.assert_array_equal(decode_image(image.encoded).numpy(), colour)
    fourth = prepare_image(tiff(np.concatenate([colour, near], axis=2), tags=[(EXTRA_SAMPLES, SHORT, [0])]))
    assert "image_alpha" in fourth.notes  # a near-infrared band, say
    np.testing.assert_array_equal(decode_image(fourth.encoded).numpy(), colour)


def test_premultiplied_colours_are_divided_by_their_alpha():
    colour = made_images.picture().astype(int)
    alpha = np.full((24, 40, 1), 128)
    data = tiff(np.concatenate([colour * alpha // 255, alpha], axis=2).astype(np.uint8), tags=[(338, SHORT, [1])])
    found = decode_image(prepare_image(data).encoded).numpy()
    assert np.abs(found.astype(int) - colour).max() <= 3
    assert Image.open(io.BytesIO(data)).mode == "RGBA"
