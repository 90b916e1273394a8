"""Images, masks and entries of COCO files for the tests of formats."""

import io

import numpy as np
from PIL import Image

from awsdet.data.coco.opening import ORIENTATION

HEIGHT, WIDTH = 40, 60


def picture(width=WIDTH, height=HEIGHT, orientation=None, kind="JPEG"):
    """The bytes of an image file. orientation: value of its EXIF tag."""
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    exif, out = Image.Exif(), io.BytesIO()
    if orientation:
        exif[ORIENTATION] = orientation
    Image.fromarray(noise).save(out, kind, exif=exif)
    return out.getvalue()


def numbers(values):
    """The bytes of a PNG of numbers, 8 or 16 bits each."""
    out = io.BytesIO()
    Image.fromarray(np.asarray(values)).save(out, "PNG")
    return out.getvalue()


def entry(number, name, height=HEIGHT, width=WIDTH):
    """An image of a COCO file."""
    return {"id": number, "file_name": name, "height": height, "width": width}


def box(number, image, category, x, y, width, height, **changes):
    """An object of a COCO file."""
    given = {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, width, height]}
    return {**given, "area": width * height, "iscrowd": 0, **changes}
