"""Reads image files upright and as 8-bit RGB, and makes them ready to be stored in records.

The reader of the records decodes JPEG and PNG and ignores EXIF. An image that needs more than that is encoded again:
as JPEG of high quality if its format is lossy, else as PNG. Prediction reads the same pixels by `load_image`.
"""

import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from awsdet.runtime.errors import UserError

ORIENTATION = 274  # the EXIF tag
TURNS = {  # value of the tag -> what makes the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUALITY = {"quality": 95, "subsampling": 0}  # of re-encoded JPEG; the loss is too small to matter in training
# Pillow's mode. Converted to RGB it would be clipped to 0 and 255, so that values from 0 to 1 are all black.
FLOAT = "F"
_FLOATS = "its pixels are floating-point numbers, whose range is not known; store it with 8 or 16 bits"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH = 24  # position of this byte in the file


class StoredImage(NamedTuple):
    """An image as the records hold it. format: "jpeg" or "png"; notes: the kinds of anomalies it had."""

    encoded: bytes
    format: str
    height: int
    width: int
    notes: tuple


class ImageRefused(Exception):
    """An image that cannot be stored. `kind` is the kind of anomaly."""

    def __init__(self, kind, detail):
        super().__init__(detail)
        self.kind = kind


def load_image(path):
    """Reads an image file of any colour mode as uint8 RGB [H, W, 3], turned upright as its EXIF tag says.

    Raises UserError if the file is missing or is not a complete image.
    """
    try:
        with open(path, "rb") as file:
            image = _open(file.read())
    except (OSError, ImageRefused) as error:
        raise UserError(f"cannot read image {path}: {getattr(error, 'strerror', None) or error}") from None
    return np.asarray(_to_rgb(_upright(image)[0]))


def as_array(image):
    """uint8 RGB [H, W, 3] of an image.

    `image`: a path, see `load_image`; an array uint8 [H, W], [H, W, 1] or [H, W, 3], which is taken to be upright; or a
    Pillow image, which is turned as its EXIF tag says.

    Raises UserError for a file that is not a complete image, ValueError for an array of another shape or dtype, and for
    a Pillow image that is empty or of floating-point numbers.
    """
    if isinstance(image, Image.Image):
        if image.mode == FLOAT or not all(image.size):
            raise ValueError(f"an image must have pixels of 8 or 16 bits, not mode {image.mode} and size {image.size}")
        return np.asarray(_to_rgb(_upright(image)[0]))
    if isinstance(image, (str, os.PathLike)):
        return load_image(image)
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise ValueError(f"an image must be uint8 [H, W, 3] or [H, W], not {array.dtype} {list(np.shape(image))}")
    return np.broadcast_to(array, (*array.shape[:2], 3))


def prepare_image(data, height=0, width=0):
    """Makes the bytes of an image file ready for the records. Returns a StoredImage.

    height, width: the size that the annotation file gives; 0 if it gives none. The image is turned as its EXIF tag says
    unless only the unturned image has that size. Raises ImageRefused for a file that is not a complete image and for
    an image of another size.
    """
    raw = _open(data)
    image, rotated = _upright(raw)
    notes = [] if width and height else ["image_size_absent"]
    if rotated:
        if width and height and image.size != (width, height) and raw.size == (width, height):
            image, rotated = raw, False
            notes.append("image_exif_ignored")
        else:
            notes.append("image_exif_rotated")
    if width and height and image.size != (width, height):
        raise ImageRefused("image_size_differs", f"{image.width} x {image.height}, not {width} x {height}")
    deep = _is_16_bit(raw, data)
    plain = raw.mode in ("RGB", "L") and raw.format in ("JPEG", "MPO", "PNG") and not deep
    notes += _mode_notes(raw, deep, plain)
    if plain and not rotated:
        return StoredImage(data, "png" if raw.format == "PNG" else "jpeg", image.height, image.width, tuple(notes))
    lossy = raw.format in ("JPEG", "MPO")
    out = io.BytesIO()
    # Without the tag: the pixels are upright now, and other readers would turn them again.
    _to_rgb(image).save(out, "JPEG" if lossy else "PNG", exif=b"", **(QUALITY if lossy else {}))
    return StoredImage(out.getvalue(), "jpeg" if lossy else "png", image.height, image.width, tuple(notes))


def _open(data):
    """The fully decoded Pillow image in `data`; raises ImageRefused if it is not a complete image."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Image.UnidentifiedImageError:
        raise ImageRefused("image_unreadable", "not an image") from None
    except Image.DecompressionBombError:
        limit = 2 * Image.MAX_IMAGE_PIXELS
        raise ImageRefused("image_unreadable", f"it has more than {limit} pixels; make it smaller") from None
    except Exception as error:  # Pillow's decoders raise many types on broken files
        raise ImageRefused("image_unreadable", str(error)) from None
    if image.mode == FLOAT:
        raise ImageRefused("image_of_floats", _FLOATS)
    return image


def _upright(image):
    """(the image turned as its EXIF tag says, whether it had to be turned)."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # a broken EXIF block says nothing about the orientation
        turn = None
    return (image, False) if turn is None else (image.transpose(turn), True)


def _is_16_bit(image, data):
    # Pillow opens 16-bit colour PNG as 8-bit RGB, so its own header must say.
    depth = data[PNG_BIT_DEPTH] if data.startswith(PNG_SIGNATURE) else 8
    return depth == 16 or image.mode.startswith("I")


def _mode_notes(image, deep, plain):
    if deep:
        return ["image_16_bit"]
    if image.mode == "CMYK":
        return ["image_cmyk"]
    if not plain:
        return ["image_reencoded"]
    return ["image_grey"] if image.mode == "L" else []


def _to_rgb(image):
    if image.mode.startswith("I"):
        pixels = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        # Mode I of a PNG is 16-bit grey. Of others it is 32-bit, which may just hold 8-bit values.
        if image.mode != "I" or image.format == "PNG" or pixels.max(initial=0) > 255:
            pixels = pixels >> 8  # 16-bit grey: the high byte, as PNG readers do for colour
        image = Image.fromarray(pixels.astype(np.uint8))
    return image.convert("RGB")
