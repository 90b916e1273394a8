"""Reads image files upright and as 8-bit RGB, and makes them ready to be stored in records.

The reader of the records decodes JPEG and PNG and ignores EXIF. An image that needs more than that is encoded again:
as JPEG of high quality if its format is lossy, else as PNG. What is stored was first decoded by the reader's own
decoder. Prediction reads the same pixels by `load_image`.
"""

import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from awsdet.data.coco.decoding import decoded, fits_jpeg
from awsdet.data.coco.files import read_file
from awsdet.data.coco.opening import (
    MAX_MEGAPIXELS,
    PNG_SIGNATURE,
    ImageRefused,
    has_frames,
    load,
    open_image,
    orientation,
    png_header,
)
from awsdet.data.coco.pixels import bits_per_sample, to_rgb
from awsdet.data.coco.png import check_png
from awsdet.runtime.errors import UserError
from awsdet.runtime.shown import shown

__all__ = ["ImageRefused", "LoadedImage", "StoredImage", "as_array", "load_image", "prepare_image", "read_image"]

TURNS = {  # value of the tag -> what makes pixels [H, W, 3] upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}
QUALITY = {"quality": 95, "subsampling": 0}  # of re-encoded JPEG; the loss is too small to matter in training
MAX_PIXELS = MAX_MEGAPIXELS * 1_000_000
JPEG = ("JPEG", "MPO")


# Kinds of anomalies that tell by themselves why an image is stored anew.
SAYS_WHY = {"image_repaired", "image_cmyk", "image_16_bit", "image_scaled", "image_float"}


class StoredImage(NamedTuple):
    """An image as the records hold it. format: "jpeg" or "png"; notes: the kinds of anomalies it had."""

    encoded: bytes
    format: str
    height: int
    width: int
    notes: tuple


class _Read(NamedTuple):
    """A decoded file. pixels: uint8 RGB [H, W, 3] as stored; format: Pillow's name; orientation: value of the EXIF tag.

    plain: whether the reader decodes the file itself to these pixels; notes: kinds of anomalies.
    """

    pixels: np.ndarray
    format: str
    orientation: int
    plain: bool
    notes: list


class LoadedImage(NamedTuple):
    """The pixels of a file, uint8 RGB [H, W, 3], upright. notes: the kinds of anomalies that it had."""

    pixels: np.ndarray
    notes: tuple


def load_image(path, max_pixels=MAX_PIXELS):
    """Reads an image file of any colour mode as uint8 RGB [H, W, 3]; see `read_image`."""
    return read_image(path, max_pixels).pixels


def read_image(path, max_pixels=MAX_PIXELS):
    """Reads an image file of any colour mode, turned upright as its EXIF tag says. Returns a LoadedImage.

    Raises UserError if the file is missing, is not a complete image, has more than `max_pixels` pixels, or has values
    of unknown range (see `pixels`).
    """
    try:
        read = _read(read_file(path), max_pixels)
    except (OSError, ImageRefused) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read image {shown(path)}: {shown(why)}") from None
    return LoadedImage(_turned(read.pixels, read.orientation), tuple(read.notes))


def as_array(image):
    """uint8 RGB [H, W, 3] of an image.

    `image`: a path, see `load_image`; an array uint8 [H, W], [H, W, 1] or [H, W, 3], which is taken to be upright; or a
    Pillow image, which is turned as its EXIF tag says.

    Raises UserError for a file that cannot be read, ValueError for an array of another shape or dtype, and for a Pillow
    image that is empty, damaged, or has values of unknown range.
    """
    if isinstance(image, Image.Image):
        if not all(image.size):
            raise ValueError(f"an image must have pixels, not the size {image.size}")
        try:
            bits = bits_per_sample(image)
            rgb, _ = to_rgb(load(image), bits)
        except ImageRefused as refusal:
            raise ValueError(f"an image of mode {image.mode} cannot be used: {refusal}") from None
        return _turned(np.asarray(rgb), orientation(image))
    if isinstance(image, (str, os.PathLike)):
        return load_image(image)
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or not array.size:
        raise ValueError(f"an image must be uint8 [H, W, 3] or [H, W], not {array.dtype} {list(np.shape(image))}")
    return np.broadcast_to(array, (*array.shape[:2], 3))


def prepare_image(data, height=0, width=0, max_pixels=MAX_PIXELS):
    """Makes the bytes of an image file ready for the records. Returns a StoredImage.

    height, width: the size that the annotation file gives; 0 if it gives none. The image is turned as its EXIF tag says
    unless only the unturned image has that size. Raises ImageRefused for a file that is not a complete image, for an
    image of another size or of more than `max_pixels` pixels, and for values of unknown range.
    """
    read = _read(data, max_pixels)
    given = (height, width) if height and width else None
    notes = [] if given else ["image_size_absent"]
    pixels, turned = _turned(read.pixels, read.orientation), read.orientation in TURNS
    if turned:
        ignored = given and pixels.shape[:2] != given and read.pixels.shape[:2] == given
        notes.append("image_exif_ignored" if ignored else "image_exif_rotated")
        if ignored:
            pixels, turned = read.pixels, False
    size = pixels.shape[:2]
    if given and size != given:
        raise ImageRefused("image_size_differs", f"{size[1]} x {size[0]}, not {width} x {height}")
    lossy = read.format in JPEG and fits_jpeg(size[1], size[0], 3)
    encoded = data if read.plain and not turned else _encoded(pixels, lossy)
    name = "png" if encoded.startswith(PNG_SIGNATURE) else "jpeg"
    return StoredImage(encoded, name, *size, (*notes, *read.notes))


def _read(data, max_pixels):
    """The _Read of a file's bytes; raises ImageRefused."""
    try:
        raw = open_image(data, max_pixels)
    except ImageRefused:
        read = _despite_pillow(data, max_pixels)
        if read is None:
            raise
        return read
    bits = bits_per_sample(raw, data)
    notes = ["image_frames"] if has_frames(data, raw) else []
    fits = raw.format == "PNG" or raw.format in JPEG and fits_jpeg(*raw.size, len(raw.getbands()))
    if fits and raw.mode in ("RGB", "L") and bits <= 8:
        pixels = _as_the_reader(data, raw.size)
        if pixels is not None:
            notes += ["image_grey"] if raw.mode == "L" else []
            notes += ["image_alpha"] if "transparency" in raw.info else []
            return _Read(pixels, raw.format, orientation(raw, data), True, notes)
        notes.append("image_repaired")
    image = load(raw)
    if raw.format == "PNG":
        check_png(data)
    rgb, kinds = _converted(image, bits)
    notes += kinds
    if not SAYS_WHY.intersection(notes):
        notes.append("image_reencoded")
    return _Read(np.asarray(rgb), raw.format, orientation(image, data), False, notes)


def _despite_pillow(data, max_pixels):
    """The _Read of an 8-bit PNG that Pillow refuses because of what lies beside its pixels; None if it is no such."""
    header = png_header(data)
    if header is None or header.bits > 8 or header.width * header.height > max_pixels:
        return None
    pixels = _as_the_reader(data, (header.width, header.height))
    notes = ["image_repaired"] + ["image_alpha"] * header.has_alpha
    return None if pixels is None else _Read(pixels, "PNG", 1, False, notes)


def _converted(image, bits):
    """(an image in mode RGB, the kinds of anomalies) of a decoded one; raises ImageRefused."""
    try:
        rgb, kinds = to_rgb(image, bits)
    except MemoryError:
        raise ImageRefused("image_too_large", f"no memory for its {image.width} x {image.height} pixels") from None
    except (ValueError, OSError) as error:
        raise ImageRefused("image_mode", f"its mode {image.mode} cannot be read as RGB: {error}") from None
    if image.mode == "CMYK":
        kinds.append("image_cmyk")
    return rgb, kinds


def _as_the_reader(data, size):
    """uint8 RGB [H, W, 3] as the reader of the records decodes it; None if it refuses the data or sees another size."""
    try:
        pixels = decoded(data)
    except ValueError:
        return None
    return pixels if pixels.shape[:2] == size[::-1] else None


def _encoded(pixels, lossy):
    """JPEG or PNG bytes, without any tags: the pixels are upright now, and other readers would turn them again."""
    out = io.BytesIO()
    try:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image.save(out, "JPEG" if lossy else "PNG", **(QUALITY if lossy else {}))
    except (OSError, ValueError, MemoryError) as error:
        raise ImageRefused("image_unreadable", f"it cannot be stored anew: {error or type(error).__name__}") from None
    if _as_the_reader(out.getvalue(), pixels.shape[1::-1]) is None:
        raise ImageRefused("image_unreadable", "the reader cannot decode what was stored anew")
    return out.getvalue()


def _turned(pixels, orientation):
    return np.ascontiguousarray(TURNS[orientation](pixels)) if orientation in TURNS else pixels
