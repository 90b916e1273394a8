"""Records of the TensorFlow Object Detection API as the lists that `place_annotations` takes.

They have boxes as float32 shares of the image and, if there are masks, a PNG of the whole image per object.
"""

import tensorflow as tf

from awsdet.data.coco.cleaning import MIN_SIDE


def list_of(kind):
    """The feature of a list of any length. `kind` is its dtype."""
    return tf.io.FixedLenSequenceFeature([], kind, allow_missing=True)


FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string),
    **{f"image/object/bbox/{side}": list_of(tf.float32) for side in ("xmin", "ymin", "xmax", "ymax")},
    "image/object/class/label": list_of(tf.int64),
    "image/object/class/text": list_of(tf.string),
    "image/object/is_crowd": list_of(tf.int64),
    "image/object/mask": list_of(tf.string),
}


def stored_lists(features, original_size, manifest):
    """The dict of lists of one record. Boxes of less than MIN_SIDE px within the image are left out.

    features: as FEATURES parses them; original_size: int32 [2].
    """
    height, width = tf.unstack(tf.cast(original_size, tf.float64))
    sides = [tf.cast(features[f"image/object/bbox/{side}"], tf.float64) for side in ("xmin", "ymin", "xmax", "ymax")]
    boxes = tf.clip_by_value(tf.stack(sides, axis=1), 0.0, 1.0) * tf.stack([width, height, width, height])
    kept = tf.where(tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE, axis=1))[:, 0]
    boxes = tf.gather(boxes, kept)
    boxes = tf.concat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)  # exact: they are float32 times a size
    crowds, nothing = features["image/object/is_crowd"], tf.zeros_like(kept)
    is_crowd = tf.cond(tf.size(crowds) > 0, lambda: tf.gather(crowds, kept), lambda: nothing)
    runs = _runs(features["image/object/mask"], kept, is_crowd > 0)
    return {
        "trainable": tf.size(kept, tf.int64),
        "classes": tf.gather(_classes(features, manifest), kept),
        "is_crowd": is_crowd,
        "boxes": _double_bytes(boxes),
        "polygon_parts": nothing,
        "polygon_lengths": tf.zeros([0], tf.int64),
        "polygon_numbers": tf.constant(b""),
        "rle_runs": runs.row_lengths(),
        "rle_counts": runs.values,
    }


def _classes(features, manifest):
    labels, texts = features["image/object/class/label"], features["image/object/class/text"]
    ids = tf.constant(manifest.category_ids, tf.int64)
    names = tf.constant(manifest.class_names, tf.string)
    matches = tf.cond(tf.size(labels) > 0, lambda: labels[:, None] == ids, lambda: texts[:, None] == names)
    return tf.argmax(tf.cast(matches, tf.int32), axis=1)


def _runs(pngs, kept, is_crowd):
    """Ragged int64 [rows, (runs)] of the rows `kept`: none for crowds, and none at all if there are no masks."""
    wanted = tf.where(~is_crowd & (tf.size(pngs) > 0))
    rows = tf.map_fn(
        lambda index: _run_lengths(tf.io.decode_png(pngs[kept[index]], channels=1)[:, :, 0]),
        wanted[:, 0],
        fn_output_signature=tf.RaggedTensorSpec([None], tf.int64),
    )
    lengths = tf.tensor_scatter_nd_update(tf.zeros_like(kept), wanted, rows.row_lengths())
    return tf.RaggedTensor.from_row_lengths(rows.values, lengths, validate=False)


def _run_lengths(mask):
    """uint8 [h, w], 0 or not -> COCO run lengths int64 [runs]: column-major, zeros first."""
    flat = tf.reshape(tf.transpose(mask), [-1]) > 0
    edges = tf.where(flat != tf.concat([[False], flat[:-1]], 0))[:, 0]
    ends = tf.concat([edges, [tf.size(flat, tf.int64)]], 0)
    return ends - tf.concat([[0], ends[:-1]], 0)


def _double_bytes(values):
    """String scalar of the little-endian bytes of float64 values."""
    bytes_of = tf.reshape(tf.bitcast(values, tf.uint8), [-1])
    return tf.strings.reduce_join(tf.gather(tf.constant([bytes([i]) for i in range(256)]), tf.cast(bytes_of, tf.int32)))
