"""The records of a batch to its tensors: decoded, mirrored, resized, cropped, padded, pasted on, recoloured.

The `rows` of a batch are entries of the plan (see `plan.Plan`) with what the manifest says of their images: all [B, …]
but `padded`, int32 [2], and `objects`, int32 scalar. Its `partner` is empty without copy-paste (see `partners`).
"""

import tensorflow as tf

from awsdet.data.coco.decoding import decode_image
from awsdet.data.reader import api_records, augment
from awsdet.data.records.manifest import AWSDET
from awsdet.ops.annotations import place_annotations
from awsdet.ops.copy_paste import Scenes, copy_paste
from awsdet.ops.resize import resize


def parser(manifest, rules=None):
    """The function (B serialised records, those of their partners if any, rows) -> batch, that fits the manifest.

    The batch is the dict of `pipeline`. rules: Augmentation; None: nothing is cropped or pasted.
    """
    features = _AWSDET_FEATURES if manifest.layout == AWSDET else api_records.FEATURES
    crops = {"min_visible": rules.min_visible, "boxes_from_masks": rules.boxes_from_masks} if rules else {}

    def placed(records, drawn, padded, objects):
        """Scenes of the images; drawn: their original_size, placement and others."""
        parsed = [tf.io.parse_single_example(record, features) for record in records]
        size = drawn["original_size"]
        stored = [_stored(one, size[i], manifest) for i, one in enumerate(parsed)]
        placement = augment.settle(drawn["placement"], drawn["others"], stored, size)
        annotations = place_annotations(stored, original_size=size, placement=placement, rows=objects, **crops)
        images = resize([decode_image(one["image/encoded"]) for one in parsed], placement, padded)
        return Scenes(images, placement.window, annotations)

    def parse(records, partners, rows):
        scenes, partner = placed(records, rows, rows["padded"], rows["objects"]), rows["partner"]
        if partners:
            theirs = placed(partners, partner, rows["padded"], tf.reduce_max(partner["objects"]))
            draws = {"share": partner["share"], "key": partner["key"], "most": rules.copy_paste_objects}
            scenes = copy_paste(scenes, theirs, rows=rows["objects"], **draws)
        annotations = scenes.annotations
        return {
            "image": augment.recolour(scenes.images, scenes.window, rows["others"]),
            "image_size": scenes.window,
            "original_size": rows["original_size"],
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
