"""What images are compared by: the checksum of their bytes, and a tiny grey version of their pixels."""

import hashlib
import io

import numpy as np
from PIL import Image

SIDE = 9  # px of the tiny version
_DRAFT = (8 * SIDE, 8 * SIDE)  # px; a JPEG is decoded no finer than it takes for this: 1/4 of most photos
_SIDES = SIDE - 1


def digest(features):
    """SHA-256 of the encoded image of a record, 32 bytes; `features`: a mapping of keys to `tf.train.Feature`."""
    key = features["image/key/sha256"].bytes_list.value if "image/key/sha256" in features else ()
    try:
        stored = bytes.fromhex(key[0].decode())
    except (IndexError, ValueError):
        stored = b""
    return stored if len(stored) == 32 else hashlib.sha256(features["image/encoded"].bytes_list.value[0]).digest()


def tiny(encoded):
    """The image in `encoded` (bytes of a JPEG or PNG) in grey, each pixel the mean of its region: uint8 [9, 9].

    Raises OSError (or another error of Pillow) for an image that is broken.
    """
    image = Image.open(io.BytesIO(encoded))
    image.draft("L", _DRAFT)
    if image.mode.startswith("I"):  # 16 bits, of which the reader of training takes the upper 8; Pillow would clip
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def gradient_bits(grey):
    """Difference hashes of tiny images, uint8 [N, 9, 9]: uint8 [N, 16], 128 bits each.

    A bit says whether a pixel is lighter than the one to its left (64 bits) or above it (64 bits). Of 160 photos of
    COCO, stored again with quality 40, or 0.5 or 0.7 times as large, no copy differs from its photo in more than 7
    bits, and no two photos differ in fewer than 28.
    """
    right = grey[:, :_SIDES, 1:] > grey[:, :_SIDES, :-1]
    down = grey[:, 1:, :_SIDES] > grey[:, :-1, :_SIDES]
    bits = np.stack([right, down], axis=1).reshape(len(grey), 2 * _SIDES * _SIDES)
    return np.packbits(bits, axis=1)
