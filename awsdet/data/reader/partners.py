"""Copy-paste (Ghiasi et al. 2021, arXiv:2012.07177): which other image each image of an epoch gets objects of.

The plan draws the partner, its own flip and jitter, and what the choice among its objects depends on; they are known
only when its record is read (`awsdet.ops.copy_paste`). So a run that resumes sees what it would have seen. A partner is
read in addition: every image still comes once per epoch as itself.

Symbols: S steps, B images of a batch of one rank.
"""

import numpy as np
import tensorflow as tf

from awsdet.data.reader import augment
from awsdet.ops.placement import Placement
from awsdet.runtime.errors import UserError

_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def check(manifest, records):
    """Raises UserError if no image of `records` can have an object to paste."""
    if not manifest.has_masks or not (manifest.num_objects[records] > 0).any():
        raise UserError(
            f"data.copy_paste is set, but no object of split {manifest.split} in {manifest.directory} has a mask that "
            "could be cut out; set it to 0, or convert annotations with segmentations"
        )


def draw(rules, manifest, records, draws):
    """The partners of one rank's images: a dict of arrays [S, B, …]. {} without copy-paste.

    present: bool, whether the image gets any; record: int32, the partner's index into the manifest; original_size:
    int32 [S, B, 2]; placement, others: as `augment.draw` has them; objects: int32, its rows; share: float32 and key:
    int64, which of its objects are pasted. An image without a partner has the place of one of 1 x 1 px.

    rules: Augmentation; records: indices of the images to train on; draws: Draws.
    """
    if not rules.copy_paste:
        return {}
    candidates = records[manifest.num_objects[records] > 0].astype(np.int32)
    draws = draws._replace(prefix="partner ")
    present = draws.even("present") < rules.copy_paste
    record = candidates[(draws.even("record") * len(candidates)).astype(np.int64)]
    there = present[..., np.newaxis]
    source = np.stack([manifest.height[record], manifest.width[record]], axis=-1)
    drawn = augment.draw_jitter(rules, source, draws)
    size, corner, window, flip = drawn.placement
    return {
        "present": present,
        "record": record,
        "original_size": np.where(there, source, 1).astype(np.int32),
        "placement": Placement(np.where(there, size, 1), corner * there, np.where(there, window, 1), flip),
        "others": drawn.others,
        "objects": np.where(present, manifest.num_objects[record], 0).astype(np.int32),
        "share": np.minimum(draws.even("share").astype(np.float32), _BELOW_ONE),
        "key": (draws.even("key") * 2**53).astype(np.int64),
    }


def rows_pasted(rules, partner):
    """How many rows the partners may add to each image: int [S, B], or 0."""
    return np.minimum(partner["objects"], rules.copy_paste_objects) if partner else 0


def no_record():
    """A serialised record of a black pixel without objects, in both layouts: what an image without a partner reads."""
    nothing = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b""]))
    black = tf.io.encode_png(np.zeros((1, 1, 3), np.uint8)).numpy()
    features = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[black])),
        "awsdet/trainable": tf.train.Feature(int64_list=tf.train.Int64List(value=[0])),
        "awsdet/bbox": nothing,
        "awsdet/polygon_numbers": nothing,
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
