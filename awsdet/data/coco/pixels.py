"""From a decoded Pillow image of any mode to 8-bit RGB, by stated rules (docs/data.md has them for users).

White is what the file states: the largest value of its bits per sample, of MaxSampleValue or SMaxSampleValue (TIFF), or
maxval (PGM). If it states nothing, white is 65535 for 16 bits and 1 for floating-point numbers, but only if at least a
quarter of that range is used; otherwise the image could be one of 8, 10, 12 or 14 bits, which would come out black.
There is no such custom for 32-bit and signed integers, so these are refused unless the file states the largest value.
"""

import math

import numpy as np
from PIL import Image

from awsdet.data.coco.opening import ImageRefused, png_header

EIGHT_BITS = ("1", "L", "P", "RGB", "YCbCr", "HSV", "CMYK", "RGBX", "LA", "PA", "RGBA", "La", "RGBa")
ALPHA = ("LA", "PA", "RGBA", "La", "RGBa")
FULL = 65535  # white of 16 bits
USED = 0.25  # the share of a range that must be used if the file does not state the range
# TIFF tags
BITS, PHOTOMETRIC, SAMPLES, EXTRA_SAMPLES, SAMPLE_FORMAT = 258, 262, 277, 338, 339
MAX_VALUE, FLOAT_MIN, FLOAT_MAX = 281, 340, 341
SIGNED = 2
CURE = "store it with 8 bits per channel"


def to_rgb(image, bits=8):
    """A decoded Pillow image in mode RGB, and the kinds of anomalies that it had. Returns (image, [kind]).

    bits: per sample of the file, which Pillow's mode does not always show (see `bits_per_sample`). Raises ImageRefused
    if the range of its values or its colour space is not known.
    """
    if image.mode in EIGHT_BITS:
        return _from_8_bits(image, bits)
    if image.mode == "F":
        return _float(image)
    if image.mode.startswith("I"):
        return _integers(image)
    raise ImageRefused("image_mode", f"its colours are of the mode {image.mode}; {CURE} as RGB")


def bits_per_sample(image, data=b""):
    """Bits per sample as the file states them: Pillow opens 16-bit colours as 8-bit RGB.

    data: the file's bytes. Without them, those of a PNG are known only as long as it is not decoded.
    """
    header = png_header(data)
    if header is not None:
        return header.bits
    if ";16" in str(getattr(getattr(image, "png", None), "im_rawmode", "")):
        return 16
    return max(_numbers(image, BITS), default=8)


def drops_alpha(image):
    """Whether an image has a transparency or a further channel, other than an alpha channel that is all opaque."""
    if "transparency" in image.info:
        return True
    if image.mode in ALPHA:
        return image.getchannel(len(image.getbands()) - 1).getextrema()[0] < 255
    return image.format == "TIFF" and max(_numbers(image, SAMPLES), default=1) > len(image.getbands())


def _from_8_bits(image, bits):
    if SIGNED in _numbers(image, SAMPLE_FORMAT):
        raise ImageRefused("image_range_unknown", f"its values are signed integers, whose range is not known; {CURE}")
    notes = ["image_alpha"] if drops_alpha(image) else []
    if image.mode in ("La", "RGBa"):  # premultiplied
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    image = image.convert("RGB")
    if bits <= 8:
        return image, notes
    # Pillow kept the high bytes only; if these are all 0, the low ones may hold the picture.
    brightest = max(high for _, high in image.getextrema())
    if brightest < 256 * USED:
        _refuse_dark("16-bit values", f"at most {256 * brightest + 255}", FULL)
    return image, [*notes, "image_16_bit"]


def _integers(image):
    values = np.asarray(image).astype(np.int32 if image.mode != "I" else np.int64)
    low, high = int(values.min()), int(values.max())
    sixteen = image.mode != "I" or image.format in ("PNG", "PPM")
    white = _stated_white(image)
    if white is None and sixteen:
        if 0 < high < FULL * USED:
            _refuse_dark("16-bit values", f"only {high}", FULL)
        white = FULL
    if white is None:
        kind = "signed" if SIGNED in _numbers(image, SAMPLE_FORMAT) else "32-bit"
        raise ImageRefused(
            "image_range_unknown", f"its values are {kind} integers from {low} to {high}, of unknown range; {CURE}"
        )
    if low < 0 or high > white:
        raise ImageRefused(
            "image_range_unknown", f"its values reach from {low} to {high}, but it states 0 to {white}; {CURE}"
        )
    # Of 16 bits the high byte, as PNG decoders do.
    pixels = values >> 8 if white == FULL else (values * 510 + white) // (2 * white)
    return _grey(image, pixels), ["image_16_bit" if white == FULL else "image_scaled"]


def _float(image):
    values = np.asarray(image, np.float64)
    if not np.isfinite(values).all():
        raise ImageRefused("image_of_floats", f"it has pixels that are not finite numbers; {CURE}")
    low, high = float(values.min()), float(values.max())
    black, white = _stated_span(image)
    if white is None:
        if low < 0 or high > 1:
            raise ImageRefused(
                "image_of_floats",
                f"its floating-point values reach from {low:g} to {high:g}, and only 0 to 1 is a known range; {CURE}",
            )
        if 0 < high < USED:
            raise ImageRefused("image_of_floats", _dark("floating-point values", f"only {high:g}", 1))
        black, white = 0.0, 1.0
    if low < black or high > white:
        raise ImageRefused(
            "image_of_floats",
            f"its values reach from {low:g} to {high:g}, but it states {black:g} to {white:g}; {CURE}",
        )
    return _grey(image, np.floor((values - black) * (255 / (white - black)) + 0.5)), ["image_float"]


def _grey(image, pixels):
    pixels = pixels.astype(np.uint8)
    if image.format == "TIFF" and _numbers(image, PHOTOMETRIC) == [0]:  # white is zero; Pillow turns only 8 bits over
        pixels = 255 - pixels
    return Image.fromarray(pixels).convert("RGB")


def _refuse_dark(what, high, full):
    raise ImageRefused("image_range_unknown", _dark(what, high, full))


def _dark(what, high, full):
    return f"its {what} reach {high} of {full}, so it is not known which value is white; {CURE}"


def _stated_white(image):
    """The largest value that the file states for integers, or None."""
    if image.format in ("PPM", "JPEG2000"):
        return FULL  # Pillow has scaled the values by what the file states
    stated = _numbers(image, FLOAT_MAX) or _numbers(image, MAX_VALUE)
    if len(set(stated)) == 1 and stated[0] >= 1 and stated[0] == int(stated[0]):
        return int(stated[0])
    bits = max(_numbers(image, BITS), default=16)
    return 2**bits - 1 if 8 < bits < 16 else None


def _stated_span(image):
    """(black, white) that the file states for floats; (None, None) if it does not state both, or nonsense."""
    low, high = set(_numbers(image, FLOAT_MIN)), set(_numbers(image, FLOAT_MAX))
    if len(low) == len(high) == 1 and min(low) < min(high):
        return min(low), min(high)
    return None, None


def _numbers(image, tag):
    """The finite numbers of a TIFF tag, a list; empty if there are none or it is no TIFF."""
    if image.format != "TIFF":
        return []
    try:
        value = image.tag_v2.get(tag, ())
        values = value if isinstance(value, (tuple, list)) else (value,)
        return [float(number) for number in values if math.isfinite(float(number))]
    except Exception:  # a damaged tag says nothing
        return []
