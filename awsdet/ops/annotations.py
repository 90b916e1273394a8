"""Moves what is annotated on the images of a batch to where it lies in their windows, by the compiled operator.

`awsdet.ops.reference.annotations` holds the same in plain TensorFlow. There it is over a hundred small operators per
image, here one per batch, on the thread that calls it.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops import library


class Annotations(NamedTuple):
    """What a batch holds of its images; rows of boxes, classes and is_crowd beyond the N real ones are padding.

    boxes: float32 [B, G, 4], zeros as padding; classes: int32 [B, G], -1; is_crowd: bool [B, G], False; polygons:
    float32 [B, (N), (parts), (x0 y0 x1 …)]; rles: int32 [B, (N), (runs)], COCO's run lengths. Crowds have neither
    polygons nor runs. Of one image: the same without the axis B.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    is_crowd: tf.Tensor
    polygons: tf.RaggedTensor
    rles: tf.RaggedTensor


def place_annotations(stored, *, original_size, placement, rows, min_visible=0.0, boxes_from_masks=False):
    """The first `trainable` rows of each record of a batch, as far as their images' windows show them.

    Boxes and polygons are cut at the window, run lengths are those of its pixels; a window that is the whole image cuts
    nothing. A row whose box is cut is dropped if less than 1 px of its width or height is left, or less than
    `min_visible` of its area within the image, or nothing of its mask if it has one. Crowds have no least share. The
    rows that are kept stay in their order, and padding follows.

    Args:
      stored: list of B dicts of a record's lists, int64 vectors unless said otherwise: trainable (scalar), classes,
        is_crowd, boxes (string scalar, float64 [rows, 4] x y width height), polygon_parts (of each row),
        polygon_lengths (numbers in each part), polygon_numbers (string scalar, float64), rle_runs (of each row),
        rle_counts.
      original_size: int32 [B, 2], height and width.
      placement: Placement of the B images.
      rows: int32 scalar G, at least every `trainable`.
      min_visible: Python float, 0 to 1.
      boxes_from_masks: Python bool. A row whose box is cut and that has a mask gets the box around the window's pixels
        of its mask, whose centres it holds; without any, the row is dropped.

    Returns:
      Annotations, in pixels of the windows.

    Raises:
      InvalidArgumentError: lists that do not fit together, run lengths that do not fit the image, an invalid
      placement.
    """
    lists = {name: [record[name] for record in stored] for name in stored[0]}
    where = {"original_size": original_size, **placement._asdict()}
    with tf.device("CPU:0"):
        placed = library.load().awsdet_annotations(
            **lists, **where, rows=rows, min_visible=min_visible, boxes_from_masks=boxes_from_masks
        )
    return annotations_of(*placed)


def annotations_of(boxes, classes, is_crowd, objects, parts, polygons, points, run_splits, runs):
    """The Annotations that an operator returns as their parts: row splits of objects, of their parts, and so on."""
    rows, nested = tf.RaggedTensor.from_nested_row_splits, (objects, parts, polygons)
    return Annotations(
        boxes=boxes,
        classes=classes,
        is_crowd=is_crowd,
        polygons=rows(points, nested, validate=False),
        rles=rows(runs, (objects, run_splits), validate=False),
    )
