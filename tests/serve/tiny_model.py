"""An exported model that takes no time: it finds the bright part of an image, and the image as a whole.

It has the signatures and outputs of a real export; `python tiny_model.py FOLDER` writes it.
"""

import json
import pathlib
import sys

import tensorflow as tf

SLOTS, NAMES, IDS = 3, ("bright thing", "picture"), (7, 9)
KINDS = dict.fromkeys(("boxes", "scores", "masks"), tf.float32) | dict.fromkeys(("classes", "image_size"), tf.int32)


class Tiny(tf.Module):
    """Boxes by comparing pixels. A pixel is bright if its red is more than 128. masks: "crop", or "full"."""

    def __init__(self, masks):
        super().__init__()
        self._add = _full_masks if masks == "full" else lambda found: found

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def encoded(self, image_bytes):
        """serving_default."""
        found = tf.map_fn(
            lambda data: self._find(tf.io.decode_image(data, 3, expand_animations=False)),
            image_bytes,
            fn_output_signature=KINDS,
        )
        return _named(self._add(found))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")])
    def pixels(self, image):
        """The signature of the same name."""
        return _named(self._add(tf.map_fn(self._find, image, fn_output_signature=KINDS)))

    def _find(self, image):
        size = tf.shape(image)[:2]
        places = tf.cast(tf.where(image[:, :, 0] > 128), tf.float32)
        some = tf.shape(places)[0] > 0
        low, high = tf.reduce_min(places, 0), tf.reduce_max(places, 0) + 1
        whole = tf.concat([[0.0, 0.0], tf.cast(size[::-1], tf.float32)], 0)
        bright = tf.where(some, tf.concat([low[::-1], high[::-1]], 0), whole)
        score = tf.where(some, 0.9, 0.4)
        mask = tf.reshape(tf.cast(tf.range(28 * 28) % 28 < 14, tf.float32), [28, 28])
        return {
            "boxes": tf.stack([bright, whole, tf.zeros(4)]),
            "scores": tf.stack([score, 0.25, 0.0]),
            "classes": tf.constant([0, 1, -1]),
            "image_size": size,
            "masks": tf.stack([mask, tf.ones([28, 28]), tf.zeros([28, 28])]),
        }


def _full_masks(found):
    """Masks uint8 [B, D, H, W], 1 within each box; H and W of the largest image."""
    height, width = tf.unstack(tf.cast(tf.reduce_max(found["image_size"], 0), tf.float32))
    rows, columns = tf.range(height)[:, tf.newaxis], tf.range(width)
    x1, y1, x2, y2 = tf.unstack(found["boxes"][..., tf.newaxis, tf.newaxis], axis=2)
    inside = (rows >= y1) & (rows < y2) & (columns >= x1) & (columns < x2)
    return {**found, "masks": tf.cast(inside, tf.uint8)}


def _named(found):
    classes = found["classes"]
    names = tf.gather(tf.constant([*NAMES, ""]), tf.where(classes < 0, len(NAMES), classes))
    ids = tf.gather(tf.constant([*IDS, -1], tf.int64), tf.where(classes < 0, len(IDS), classes))
    count = tf.reduce_sum(tf.cast(classes >= 0, tf.int32), 1)
    return {**found, "class_names": names, "category_ids": ids, "count": count}


def write(folder: pathlib.Path, name: str = "tiny", masks: str = "crop") -> pathlib.Path:
    """Writes version 3 of the model. Returns `folder`."""
    tiny, version = Tiny(masks), folder / "3"
    tf.saved_model.save(tiny, str(version), signatures={"serving_default": tiny.encoded, "pixels": tiny.pixels})
    info = {
        "format": "awsdet export 1",
        "target": "savedmodel",
        "size": {"short_side": 800, "max_long_side": 1333, "pad_multiple": 32},
        "name": name,
        "detector": "tiny",
        "mask_threshold": 0.5,
    }
    info |= {"class_names": NAMES, "category_ids": IDS, "max_detections": SLOTS, "masks": masks}
    (version / "awsdet.json").write_text(json.dumps(info))
    return folder


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
