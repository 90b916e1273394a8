"""The records of a batch to its tensors: decoded, resized, flipped, padded.

The `rows` of a batch are entries of the plan (see `plan.Plan`) with what the manifest says of their images: all [B, …]
but `padded`, int32 [2], and `objects`, int32 scalar.
"""

import tensorflow as tf

from awsdet.data.coco.annotations import MIN_SIDE
from awsdet.data.records.manifest import AWSDET
from awsdet.ops.annotations import place_annotations
from awsdet.ops.reference.annotations import Annotations, padded, stack, transform_boxes, transform_mask
from awsdet.ops.resize import resize


def parser(manifest):
    """The function (list of B serialised records, rows) -> batch, the dict of `pipeline`, that fits the manifest."""
    features, annotate = (_AWSDET_FEATURES, _place) if manifest.layout == AWSDET else (_API_FEATURES, _place_api)

    def parse(records, rows):
        parsed = [tf.io.parse_single_example(record, features) for record in records]
        old_size = tf.stack([rows["height"], rows["width"]], axis=1)
        annotations = annotate(parsed, rows, old_size, manifest)
        images = [decode_image(one["image/encoded"]) for one in parsed]
        return {
            "image": resize(images, rows["size"], rows["flip"], rows["padded"]),
            "image_size": rows["size"],
            "original_size": old_size,
            "image_id": rows["image_id"],
            "boxes": annotations.boxes,
            "classes": annotations.classes,
            "is_crowd": annotations.is_crowd,
            "masks": {"polygons": annotations.polygons, "rles": annotations.rles},
        }

    return parse


def decode_image(encoded):
    """JPEG or PNG bytes -> uint8 RGB [h, w, 3]; the slow, exact inverse transform of libjpeg, as Pillow's default."""
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")  # decodes PNG as well


def _place(parsed, rows, old_size, manifest):
    return place_annotations(
        [{name: features[f"awsdet/{key}"] for name, key in _STORED.items()} for features in parsed],
        old_size=old_size,
        new_size=rows["size"],
        flip=rows["flip"],
        rows=rows["objects"],
    )


def _place_api(parsed, rows, old_size, manifest):
    images = []
    for i, features in enumerate(parsed):
        move = {"old_size": old_size[i], "new_size": rows["size"][i], "flip": rows["flip"][i]}
        images.append(padded(_api_annotations(features, move, manifest), rows["objects"]))
    return stack(images)


def _api_annotations(features, move, manifest):
    """Annotations of one image, N rows in all their tensors. move: what `transform_boxes` takes besides boxes."""
    height, width = tf.unstack(tf.cast(move["old_size"], tf.float64))
    sides = [tf.cast(features[f"image/object/bbox/{side}"], tf.float64) for side in ("xmin", "ymin", "xmax", "ymax")]
    boxes = tf.clip_by_value(tf.stack(sides, axis=1), 0.0, 1.0) * tf.stack([width, height, width, height])
    kept = tf.where(tf.reduce_all(boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE, axis=1))[:, 0]
    count = tf.size(kept)
    crowds = features["image/object/is_crowd"]
    is_crowd = tf.cond(tf.size(crowds) > 0, lambda: tf.gather(crowds, kept) > 0, lambda: tf.zeros([count], tf.bool))
    return Annotations(
        boxes=transform_boxes(tf.gather(boxes, kept), **move),
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
        return transform_mask(mask, move["new_size"], move["flip"])

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
# What place_annotations wants -> the feature's name.
_STORED = {
    "classes": "class",
    "boxes": "bbox",
    **{name: name for name in ("trainable", "is_crowd", "polygon_parts", "polygon_lengths", "polygon_numbers")},
    **{name: name for name in ("rle_runs", "rle_counts")},
}
_API_FEATURES = {
    "image/encoded": _BYTES,
    **{f"image/object/bbox/{side}": _list_of(tf.float32) for side in ("xmin", "ymin", "xmax", "ymax")},
    "image/object/class/label": _list_of(tf.int64),
    "image/object/class/text": _list_of(tf.string),
    "image/object/is_crowd": _list_of(tf.int64),
    "image/object/mask": _list_of(tf.string),
}
