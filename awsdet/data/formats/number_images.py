"""Reads images whose pixels are numbers of objects, not colours."""

import pathlib

import numpy as np

from awsdet.data.coco.images import MAX_PIXELS
from awsdet.data.coco.opening import ImageRefused, load, open_image
from awsdet.data.formats.folders import Unreadable, read_bytes

_EXACT = ("PNG", "TIFF", "BMP", "GIF")  # formats that give back the numbers that were written
_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes of one number per pixel


def read_numbers(path: pathlib.Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The numbers of an image file's pixels, int32 [height, width]. Raises Unreadable."""
    return numbers_of(read_bytes(path), max_pixels)


def numbers_of(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The same of a file's bytes."""
    try:
        image = open_image(data, max_pixels)
        if image.format not in _EXACT:
            raise Unreadable(f"it is a {image.format}, which changes numbers; save masks as PNG")
        if image.mode in _NUMBERS:
            return np.asarray(load(image)).astype(np.int32)
        colours = np.asarray(load(image).convert("RGB")).astype(np.int32)
    except ImageRefused as refusal:
        raise Unreadable(str(refusal)) from None
    if (colours != colours[:, :, :1]).any():
        raise Unreadable("its pixels are colours, not numbers of objects; save one number per pixel")
    return colours[:, :, 0]
