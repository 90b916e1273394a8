"""One record to the tensors of one image: decoded, resized, flipped, padded.

Symbols: n rows of boxes (objects, then crowds) of the image; a `row` is an entry of the plan (see `plan.Plan`) with the
image's height, width and image_id.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.data import transforms
from awsdet.data.coco import MIN_SIDE
from awsdet.data.manifest import AWSDET
from awsdet.ops.resize import resize


class Sample(NamedTuple):
    """An image as it is decoded and its rows, transformed.

    image: uint8 [h, w, 3]; boxes: float32 [n, 4]; classes: int32 [n]; is_crowd: bool [n]; polygons: float32
    [n, (parts), (numbers)]; rles: int32 [n, (runs)].
    """

    image: tf.Tensor
    boxes: tf.Tensor
    classes: tf.Tensor
    is_crowd: tf.Tensor
    polygons: tf.RaggedTensor
    rles: tf.RaggedTensor


def parser(manifest):
    """The function (serialised record, row) -> Sample that fits the manifest's records."""
    if manifest.layout == AWSDET:
        return _parse_awsdet
    return lambda record, row: _parse_api(record, row, manifest)


def assemble(sample, row):
    """The image's part of a batch, padded as the row says: the dict of `pipeline`, without the axis B."""
    size, padded, objects = row["size"], row["padded"], row["objects"]
    missing = objects - tf.shape(sample.boxes)[0]
    return {
        "image": resize(sample.image, size, row["flip"], padded),
        "image_size": size,
        "original_size": tf.stack([row["height"], row["width"]]),
        "image_id": row["image_id"],
        "boxes": tf.pad(sample.boxes, [[0, missing], [0, 0]]),
        "classes": tf.pad(sample.classes, [[0, missing]], constant_values=-1),
        "is_crowd": tf.pad(sample.is_crowd, [[0, missing]]),
        "masks": {"polygons": sample.polygons, "rles": sample.rles},
    }


def decode_image(encoded):
    """JPEG or PNG bytes -> uint8 RGB [h, w, 3]; the slow, exact inverse transform of libjpeg, as Pillow's default."""
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")  # decodes PNG as well


def _parse_awsdet(record, row):
    features = tf.io.parse_single_example(record, _AWSDET_FEATURES)
    old_size = tf.stack([row["height"], row["width"]])
    move = {"old_size": old_size, "new_size": row["size"], "flip": row["flip"]}
    count = features["awsdet/trainable"]
    is_crowd = features["awsdet/is_crowd"][:count] > 0
    # Objects come before crowds, so what belongs to objects is at the front of every list.
    has_mask = tf.concat([~is_crowd, tf.zeros([tf.size(features["awsdet/class"]) - tf.size(is_crowd)], tf.bool)], 0)
    parts = tf.where(has_mask, features["awsdet/polygon_parts"], 0)[:count]
    lengths = features["awsdet/polygon_lengths"][: tf.reduce_sum(parts)]
    numbers = tf.io.decode_raw(features["awsdet/polygon_numbers"], tf.float64)[: tf.reduce_sum(lengths)]
    polygons = tf.RaggedTensor.from_row_lengths(transforms.transform_points(numbers, **move), lengths, validate=False)
    runs = tf.where(has_mask, features["awsdet/rle_runs"], 0)[:count]
    counts = features["awsdet/rle_counts"][: tf.reduce_sum(runs)]
    x, y, w, h = tf.unstack(tf.reshape(tf.io.decode_raw(features["awsdet/bbox"], tf.float64), [-1, 4])[:count], axis=1)
    return Sample(
        image=decode_image(features["image/encoded"]),
        boxes=transforms.transform_boxes(tf.stack([x, y, x + w, y + h], axis=1), **move),
        classes=tf.cast(features["awsdet/class"][:count], tf.int32),
        is_crowd=is_crowd,
        polygons=tf.RaggedTensor.from_row_lengths(polygons, parts, validate=False),
        rles=_map_rows(
            lambda one: transforms.transform_runs(one, **move),
            tf.RaggedTensor.from_row_lengths(counts, runs, validate=False),
        ),
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


def _parse_api(record, row, manifest):
    features = tf.io.parse_single_example(record, _API_FEATURES)
    old_size = tf.stack([row["height"], row["width"]])
    move = {"old_size": old_size, "new_size": row["size"], "flip": row["flip"]}
    height, width = tf.cast(row["height"], tf.float64), tf.cast(row["width"], tf.float64)
    sides = [tf.cast(features[f"image/object/bbox/{side}"], tf.float64) for side in ("xmin", "ymin", "xmax", "ymax")]
    boxes = tf.clip_by_value(tf.stack(sides, axis=1), 0.0, 1.0) * tf.stack([width, height, width, height])
    kept = tf.where(tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE, axis=1))[:, 0]
    count = tf.size(kept)
    crowds = features["image/object/is_crowd"]
    is_crowd = tf.cond(tf.size(crowds) > 0, lambda: tf.gather(crowds, kept) > 0, lambda: tf.zeros([count], tf.bool))
    return Sample(
        image=decode_image(features["image/encoded"]),
        boxes=transforms.transform_boxes(tf.gather(boxes, kept), **move),
        classes=tf.gather(_api_classes(features, manifest), kept),
        is_crowd=is_crowd,
        polygons=tf.RaggedTensor.from_row_lengths(
            tf.RaggedTensor.from_row_lengths(tf.zeros([0]), tf.zeros([0], tf.int64)), tf.zeros([count], tf.int64)
        ),
        rles=_api_rles(features["image/object/mask"], kept, is_crowd, move),
    )


def _api_classes(features, manifest):
    labels, texts = features["image/object/class/label"], features["image/object/class/text"]
    ids = tf.constant(manifest.category_ids, tf.int64)
    names = tf.constant(manifest.class_names, tf.string)
    matches = tf.cond(tf.size(labels) > 0, lambda: labels[:, None] == ids, lambda: texts[:, None] == names)
    return tf.argmax(tf.cast(matches, tf.int32), axis=1, output_type=tf.int32)


def _api_rles(pngs, kept, is_crowd, move):
    """Run lengths of the PNG masks of the rows `kept`; none for crowds, and none at all where there are no masks."""
    wanted = tf.where(~is_crowd & (tf.size(pngs) > 0))

    def runs(index):
        mask = tf.io.decode_png(pngs[kept[index]], channels=1)[:, :, 0]
        return transforms.transform_mask(mask, move["new_size"], move["flip"])

    rows = tf.map_fn(runs, wanted[:, 0], fn_output_signature=tf.RaggedTensorSpec([None], tf.int32))
    lengths = tf.tensor_scatter_nd_update(tf.zeros_like(kept), wanted, rows.row_lengths())
    return tf.RaggedTensor.from_row_lengths(rows.values, lengths, validate=False)


def _list_of(kind):
    return tf.io.FixedLenSequenceFeature([], kind, allow_missing=True)


_BYTES = tf.io.FixedLenFeature([], tf.string)
_AWSDET_FEATURES = {
    "image/encoded": _BYTES,
    "awsdet/trainable": tf.io.FixedLenFeature([], tf.int64),
    "awsdet/class": _list_of(tf.int64),
    "awsdet/is_crowd": _list_of(tf.int64),
    "awsdet/bbox": _BYTES,
    "awsdet/polygon_parts": _list_of(tf.int64),
    "awsdet/polygon_lengths": _list_of(tf.int64),
    "awsdet/polygon_numbers": _BYTES,
    "awsdet/rle_runs": _list_of(tf.int64),
    "awsdet/rle_counts": _list_of(tf.int64),
}
_API_FEATURES = {
    "image/encoded": _BYTES,
    **{f"image/object/bbox/{side}": _list_of(tf.float32) for side in ("xmin", "ymin", "xmax", "ymax")},
    "image/object/class/label": _list_of(tf.int64),
    "image/object/class/text": _list_of(tf.string),
    "image/object/is_crowd": _list_of(tf.int64),
    "image/object/mask": _list_of(tf.string),
}
