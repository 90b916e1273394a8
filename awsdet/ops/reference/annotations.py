"""Everything annotated on images, moved to where it lies on the resized and mirrored ones; plain TensorFlow.

Symbols: B images; h, w the original size, H, W the resized one (px); N rows of an image, objects first and then
crowds; G rows of each image in the result.
All coordinates are continuous: pixel column i covers [i, i+1), so a resize maps x to x * W / w and a flip maps x to
W - x.
"""

from typing import NamedTuple

import tensorflow as tf


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
    """
    return stack(
        [
            padded(_place(record, old_size=old_size[i], new_size=new_size[i], flip=flip[i]), rows)
            for i, record in enumerate(stored)
        ]
    )


def stack(images):
    """Annotations of a batch, of those of its images, which have G rows each."""
    boxes, classes, is_crowd = (tf.stack(column) for column in list(zip(*images))[:3])
    polygons, rles = (tf.ragged.stack([getattr(image, name) for image in images]) for name in ("polygons", "rles"))
    return Annotations(boxes, classes, is_crowd, polygons, rles)


def _place(stored, **move):
    """Annotations of one image, N rows in all their tensors."""
    count = stored["trainable"]
    is_crowd = stored["is_crowd"][:count] > 0
    # Objects come before crowds, so what belongs to objects is at the front of every list.
    parts = tf.where(is_crowd, tf.constant(0, tf.int64), stored["polygon_parts"][:count])
    lengths = stored["polygon_lengths"][: tf.reduce_sum(parts)]
    numbers = tf.io.decode_raw(stored["polygon_numbers"], tf.float64)[: tf.reduce_sum(lengths)]
    polygons = tf.RaggedTensor.from_row_lengths(transform_points(numbers, **move), lengths, validate=False)
    runs = tf.where(is_crowd, tf.constant(0, tf.int64), stored["rle_runs"][:count])
    counts = stored["rle_counts"][: tf.reduce_sum(runs)]
    x, y, w, h = tf.unstack(tf.reshape(tf.io.decode_raw(stored["boxes"], tf.float64), [-1, 4])[:count], axis=1)
    return Annotations(
        boxes=transform_boxes(tf.stack([x, y, x + w, y + h], axis=1), **move),
        classes=tf.cast(stored["classes"][:count], tf.int32),
        is_crowd=is_crowd,
        polygons=tf.RaggedTensor.from_row_lengths(polygons, parts, validate=False),
        rles=_map_rows(
            lambda one: transform_runs(one, **move),
            tf.RaggedTensor.from_row_lengths(counts, runs, validate=False),
        ),
    )


def padded(annotations, rows):
    """Annotations of one image, of N rows in all their tensors -> the same with G = `rows`."""
    missing = rows - tf.shape(annotations.boxes)[0]
    return annotations._replace(
        boxes=tf.pad(annotations.boxes, [[0, missing], [0, 0]]),
        classes=tf.pad(annotations.classes, [[0, missing]], constant_values=-1),
        is_crowd=tf.pad(annotations.is_crowd, [[0, missing]]),
    )


def _map_rows(function, rows):
    """Applies `function` (1-D int64 -> 1-D int32) to the rows of a ragged tensor that are not empty."""
    lengths = rows.row_lengths()
    filled = tf.where(lengths > 0)
    new = tf.map_fn(
        lambda index: function(rows[index]), filled[:, 0], fn_output_signature=tf.RaggedTensorSpec([None], tf.int32)
    )
    new_lengths = tf.tensor_scatter_nd_update(tf.zeros_like(lengths), filled, new.row_lengths())
    return tf.RaggedTensor.from_row_lengths(new.values, new_lengths, validate=False)


def transform_boxes(boxes, old_size, new_size, flip):
    """float64 [N, 4] in px of the original -> float32 [N, 4] in px of the resized image, clipped to it.

    boxes: x1, y1, x2, y2; sizes: int32 [2] = height, width; flip: bool scalar.
    """
    old, new = tf.cast(old_size, tf.float64), tf.cast(new_size, tf.float64)
    limits = tf.stack([old[1], old[0], old[1], old[0]])
    boxes = tf.clip_by_value(boxes, tf.zeros_like(limits), limits)
    boxes *= tf.stack([new[1], new[0], new[1], new[0]]) / limits
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    x1, x2 = tf.where(flip, new[1] - x2, x1), tf.where(flip, new[1] - x1, x2)
    return tf.cast(tf.stack([x1, y1, x2, y2], axis=1), tf.float32)


def transform_points(numbers, old_size, new_size, flip):
    """float64 [2 * points] (x0, y0, x1, …) in px of the original -> float32 in px of the resized image, not clipped."""
    old, new = tf.cast(old_size, tf.float64), tf.cast(new_size, tf.float64)
    points = tf.reshape(numbers, [-1, 2]) * (new[::-1] / old[::-1])
    x = tf.where(flip, new[1] - points[:, 0], points[:, 0])
    return tf.cast(tf.reshape(tf.stack([x, points[:, 1]], axis=1), [-1]), tf.float32)


def transform_runs(counts, old_size, new_size, flip):
    """COCO run lengths int64 [runs] of an original-size mask -> int32 [runs] of the resized one (nearest neighbour)."""
    cells = tf.cast(tf.reduce_prod(old_size), tf.int64)
    edges = tf.cumsum(counts)[:-1]
    # Each edge toggles; runs of no length put two edges on one cell, which cancel, and trailing ones lie past the end.
    toggles = tf.tensor_scatter_nd_add(tf.zeros([cells + 1], tf.uint8), edges[:, None], tf.ones_like(edges, tf.uint8))
    flat = tf.bitwise.bitwise_and(tf.cumsum(toggles)[:-1], 1)
    return transform_mask(tf.transpose(tf.reshape(flat, [old_size[1], old_size[0]])), new_size, flip)


def transform_mask(mask, new_size, flip):
    """uint8 [h, w], 0 or not -> COCO run lengths int32 [runs] (column-major, zeros first) of the resized mask.

    Nearest neighbour with half-pixel centres: pixel i of n shows pixel floor((i + 0.5) * old / n).
    """
    old_size = tf.shape(mask)
    rows = _nearest(new_size[0], old_size[0])
    columns = _nearest(new_size[1], old_size[1])
    columns = tf.cond(flip, lambda: columns[::-1], lambda: columns)
    flat = tf.reshape(tf.transpose(tf.gather(tf.gather(mask, rows), columns, axis=1)), [-1]) > 0
    edges = tf.where(flat != tf.concat([[False], flat[:-1]], 0))[:, 0]
    ends = tf.concat([edges, [tf.size(flat, tf.int64)]], 0)
    return tf.cast(ends - tf.concat([[0], ends[:-1]], 0), tf.int32)


def _nearest(new, old):
    scale = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    places = tf.cast((tf.cast(tf.range(new), tf.float64) + 0.5) * scale, tf.int32)
    return tf.minimum(places, old - 1)
