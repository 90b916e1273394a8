"""The records of a batch to its tensors: decoded, mirrored, resized, cropped, padded, recoloured.

The `rows` of a batch are entries of the plan (see `plan.Plan`) with what the manifest says of their images: all [B, …]
but `padded`, int32 [2], and `objects`, int32 scalar.
"""

import tensorflow as tf

from awsdet.data.coco.decoding import decode_image
from awsdet.data.reader import api_records, augment
from awsdet.data.records.manifest import AWSDET
from awsdet.ops.annotations import place_annotations
from awsdet.ops.resize import resize


def parser(manifest, min_visible=0.0):
    """The function (list of B serialised records, rows) -> batch, the dict of `pipeline`, that fits the manifest.

    min_visible: as `place_annotations` takes it.
    """
    features = _AWSDET_FEATURES if manifest.layout == AWSDET else api_records.FEATURES

    def parse(records, rows):
        parsed = [tf.io.parse_single_example(record, features) for record in records]
        original_size = tf.stack([rows["height"], rows["width"]], axis=1)
        stored = [_stored(one, original_size[i], manifest) for i, one in enumerate(parsed)]
        placement = augment.settle(rows["placement"], rows["others"], stored, original_size)
        annotations = place_annotations(
            stored,
            original_size=original_size,
            placement=placement,
            rows=rows["objects"],
            min_visible=min_visible,
        )
        images = resize([decode_image(one["image/encoded"]) for one in parsed], placement, rows["padded"])
        return {
            "image": augment.recolour(images, placement.window, rows["others"]),
            "image_size": placement.window,
            "original_size": original_size,
            "image_id": rows["image_id"],
            "boxes": annotations.boxes,
            "classes": annotations.classes,
            "is_crowd": annotations.is_crowd,
            "masks": {"polygons": annotations.polygons, "rles": annotations.rles},
        }

    return parse


def _stored(features, original_size, manifest):
    """The lists of one record that `place_annotations` takes."""
    if manifest.layout == AWSDET:
        return {name: features[f"awsdet/{key}"] for name, key in _STORED.items()}
    return api_records.stored_lists(features, original_size, manifest)


_BYTES = tf.io.FixedLenFeature([], tf.string)
_AWSDET_FEATURES = {
    "image/encoded": _BYTES,
    "awsdet/trainable": tf.io.FixedLenFeature([], tf.int64),
    "awsdet/class": api_records.list_of(tf.int64),
    "awsdet/is_crowd": api_records.list_of(tf.int64),
    "awsdet/bbox": _BYTES,
    "awsdet/polygon_parts": api_records.list_of(tf.int64),
    "awsdet/polygon_lengths": api_records.list_of(tf.int64),
    "awsdet/polygon_numbers": _BYTES,
    "awsdet/rle_runs": api_records.list_of(tf.int64),
    "awsdet/rle_counts": api_records.list_of(tf.int64),
}
# What place_annotations wants -> the feature's name.
_STORED = {
    "classes": "class",
    "boxes": "bbox",
    **{name: name for name in ("trainable", "is_crowd", "polygon_parts", "polygon_lengths", "polygon_numbers")},
    **{name: name for name in ("rle_runs", "rle_counts")},
}
