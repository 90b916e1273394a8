"""Moves what is annotated on images to where it lies on the resized and mirrored ones, by the compiled operator.

`awsdet.ops.reference.annotations` holds the same in plain TensorFlow. There it is over a hundred small operators per
image, here one per batch, on the thread that calls it.
"""

import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.reference.annotations import Annotations


def place_annotations(stored, *, old_size, new_size, flip, rows):
    """The first `trainable` rows of each record of a batch.

    Args:
      stored: list of B dicts of a record's lists, int64 vectors but where said: trainable (scalar), classes, is_crowd,
        boxes (string scalar, float64 [rows, 4] x y width height), polygon_parts (of each row), polygon_lengths
        (numbers in each part), polygon_numbers (string scalar, float64), rle_runs (of each row), rle_counts.
      old_size, new_size: int32 [B, 2], height and width.
      flip: bool [B].
      rows: int32 scalar G, at least every `trainable`.

    Returns:
      Annotations.

    Raises:
      InvalidArgumentError: lists that do not fit together, run lengths that do not fit the image.
    """
    lists = {name: [record[name] for record in stored] for name in stored[0]}
    with tf.device("CPU:0"):
        placed = library.load().awsdet_annotations(**lists, old_size=old_size, new_size=new_size, flip=flip, rows=rows)
    splits = placed.object_splits, placed.part_splits, placed.polygon_splits
    return Annotations(
        boxes=placed.placed_boxes,
        classes=placed.placed_classes,
        is_crowd=placed.placed_is_crowd,
        polygons=tf.RaggedTensor.from_nested_row_splits(placed.points, splits, validate=False),
        rles=tf.RaggedTensor.from_nested_row_splits(
            placed.runs, (placed.object_splits, placed.run_splits), validate=False
        ),
    )
