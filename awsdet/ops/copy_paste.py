"""Pastes objects of the images of one batch onto those of another, by the compiled operator.

`awsdet.ops.reference.copy_paste` holds the same in plain NumPy. The operator looks only at the pixels of the objects
concerned, on the thread that calls it.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.annotations import Annotations, annotations_of

BOX_SHIFT = 10.0  # px; these two are the thresholds of mmdetection's CopyPaste
LEAST_PIXELS = 300


class Scenes(NamedTuple):
    """B images in their canvases, with their objects.

    images: uint8 [B, H, W, 3]; window: int32 [B, 2], the valid height and width at the top left; annotations:
    Annotations, in px of the windows.
    """

    images: tf.Tensor
    window: tf.Tensor
    annotations: Annotations


def copy_paste(base, partner, *, share, key, rows, most, box_shift=BOX_SHIFT, least_pixels=LEAST_PIXELS):
    """Simple copy-paste (Ghiasi et al. 2021, arXiv:2012.07177) with the rules of mmdetection's CopyPaste.

    Drawn from are the partner's objects that have a mask and are no crowd. Of N of these, floor(share * (min(N, most) +
    1)) are drawn, by their `key`: the pixels they cover are copied, and their rows follow those of the base. What they
    hide of an object of the base is gone from its mask: it gets run lengths, and the box around the pixels that are
    left. It is dropped if none is left, or if a side of its box moved by more than `box_shift` and at most
    `least_pixels` are left. Crowds, objects without a mask and those of which nothing is hidden stay as they are. Drawn
    objects do not hide one another; one that covers no pixel's centre is left out.

    The result's windows are large enough for both, so a partner's object may lie beyond the base's own image. The
    window of an image that gets nothing stays.

    Args:
      base, partner: Scenes of the same shape.
      share: float32 [B], 0 at least and below 1; key: int64 [B].
      rows: int32 scalar, the rows of the result: at least those of the base and all that may be drawn.
      most: Python int, objects that are drawn at most.
      box_shift, least_pixels: in px and pixels of the canvas.

    Returns:
      Scenes.

    Raises:
      InvalidArgumentError: arguments that do not fit together.
    """
    with tf.device("CPU:0"):
        pasted = library.load().awsdet_copy_paste(
            **_flat(base),
            **{f"partner_{name}": value for name, value in _flat(partner).items()},
            share=share,
            key=key,
            rows=rows,
            most=most,
            box_shift=box_shift,
            least_pixels=least_pixels,
        )
    images, frame, *annotations = pasted
    return Scenes(images, frame, annotations_of(*annotations))


def _flat(scenes):
    found = scenes.annotations
    objects, parts, polygons = found.polygons.nested_row_splits
    return {
        "images": scenes.images,
        "window": scenes.window,
        "boxes": found.boxes,
        "classes": found.classes,
        "is_crowd": found.is_crowd,
        "object_splits": objects,
        "part_splits": parts,
        "polygon_splits": polygons,
        "points": found.polygons.flat_values,
        "run_splits": found.rles.nested_row_splits[1],
        "runs": found.rles.flat_values,
    }
