"""What the built-in data sets share: how an outline covers pixels, and how what is visible of it is annotated."""

import numpy as np
from PIL import Image, ImageDraw

from awsdet.data.coco.rle import run_lengths

SUPERSAMPLING = 4  # grid points per pixel and axis when drawing


def coverage(outline, size):
    """Where an outline [points, 2] (x, y) lies in an image of `size` (height, width).

    Returns (slices of rows and columns, float32 share of each pixel in them that is inside).
    """
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, size[::-1])
    fine = Image.new("L", ((right - left) * SUPERSAMPLING, (bottom - top) * SUPERSAMPLING))
    points = (outline - (left, top)) * SUPERSAMPLING - 0.5  # Pillow's coordinates are those of pixel centres
    ImageDraw.Draw(fine).polygon(points.ravel().tolist(), fill=255)
    cover = np.asarray(fine.reduce(SUPERSAMPLING), np.float32) / 255
    return (slice(top, bottom), slice(left, right)), cover


def annotation_of(seen, outline=None):
    """bbox, area and segmentation of an object whose visible pixels are `seen`, bool [H, W] with any True.

    Its polygon is `outline`, if that is given; else it has the run lengths of its pixels.
    """
    if outline is not None:
        outline = np.round(outline, 2)
        (left, top), (right, bottom) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
        segmentation = [outline.ravel().tolist()]
    else:
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        left, top, right, bottom = (int(n) for n in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        segmentation = {"size": list(seen.shape), "counts": run_lengths(seen)}
    bbox = [left, top, round(right - left, 2), round(bottom - top, 2)]
    return {"bbox": bbox, "area": int(seen.sum()), "segmentation": segmentation}
