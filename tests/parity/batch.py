"""The batch of a reference file, with its masks as polygons or as run lengths."""

import numpy as np
import tensorflow as tf


def read(arrays):
    """The batch dict of the file's images and objects, with polygons as masks and without `image`."""
    size = arrays["image_size_hw"].astype(np.int32)
    count = len(size)
    boxes = [arrays[f"gt/{i}/boxes_xyxy"] for i in range(count)]
    labels = [arrays[f"gt/{i}/labels"] for i in range(count)]
    slots = max(len(b) for b in boxes)
    return {
        "image_size": tf.constant(size),
        "image_id": tf.range(count, dtype=tf.int64),
        "boxes": tf.constant([np.pad(b, [(0, slots - len(b)), (0, 0)]) for b in boxes]),
        "classes": tf.constant([np.pad(c, (0, slots - len(c)), constant_values=-1) for c in labels], tf.int32),
        "is_crowd": tf.zeros([count, slots], tf.bool),
        "masks": polygon_masks(arrays, count),
    }


def polygon_masks(arrays, count):
    """The batch's `masks` with every object as its polygons (one part each) and no RLE."""
    coordinates = [arrays[f"gt/{i}/polygon_xy"] for i in range(count)]
    lengths = [arrays[f"gt/{i}/polygon_lengths"] for i in range(count)]
    objects = [len(part) for part in lengths]
    flat = tf.constant(np.concatenate(coordinates))
    parts = tf.RaggedTensor.from_row_lengths(flat, _per_part(coordinates, lengths))
    polygons = tf.RaggedTensor.from_row_lengths(parts, np.ones(sum(objects), np.int64))
    return {
        "polygons": tf.RaggedTensor.from_row_lengths(polygons, objects),
        "rles": _ragged_rows([np.zeros(0, np.int32)] * sum(objects), objects),
    }


def bitmap_masks(arrays, count):
    """The batch's `masks` with every object as the RLE of its bitmap and no polygons."""
    rows, objects = [], []
    for image in range(count):
        height, width = arrays["image_size_hw"][image]
        bitmaps = arrays[f"gt/{image}/bitmaps"][:, :height, :width]
        objects.append(len(bitmaps))
        rows += [_runs(bitmap) for bitmap in bitmaps]
    empty = tf.RaggedTensor.from_row_lengths(tf.zeros([0]), np.zeros(0, np.int64))
    empty = tf.RaggedTensor.from_row_lengths(empty, np.zeros(sum(objects), np.int64))
    return {"polygons": tf.RaggedTensor.from_row_lengths(empty, objects), "rles": _ragged_rows(rows, objects)}


def _per_part(coordinates, lengths):
    """Polygon lengths in coordinates. Some files count coordinates, others points; the total tells which."""
    lengths = np.concatenate(lengths).astype(np.int64)
    return lengths * (sum(map(len, coordinates)) // lengths.sum())


def _ragged_rows(rows, objects):
    flat = tf.constant(np.concatenate([*rows, np.zeros(0, np.int32)]).astype(np.int32))
    ragged = tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])
    return tf.RaggedTensor.from_row_lengths(ragged, objects)


def _runs(bitmap):
    flat = bitmap.T.reshape(-1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).astype(np.int32)
    return np.diff(np.concatenate([[0], edges, [flat.size]])).astype(np.int32)
