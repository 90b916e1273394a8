"""Finds the record that made the reader fail, and names it: errors of tf.data name operations."""

import tensorflow as tf

from awsdet.data.coco.decoding import decoder_words
from awsdet.data.records.manifest import AWSDET, HEADER
from awsdet.runtime.shown import shown

FAILURES = (tf.errors.OpError, UnicodeDecodeError)  # what a record that cannot be read makes tf.data raise


def first_broken(manifest, rows, load):
    """What is wrong with the first record of some batches that the reader cannot read, in a sentence; None if none is.

    manifest: Manifest; rows: of the batches, a dict of arrays [S, B, …] (see `pipeline`), `record` among them; load:
    the reader's function (rows of one batch, their number) -> batch. It is called for each record alone.
    """
    steps, size = rows["record"].shape
    for step in range(steps):
        batch = tf.nest.map_structure(lambda column, step=step: column[step], rows)
        for place in range(size):
            one = _one(batch, place)
            for record, wanted in _each(one):
                reason = _why(load, wanted)
                if reason:
                    return describe(manifest, int(record[0]), reason)
    return None


def describe(manifest, row, reason):
    """The sentence about record `row` of a Manifest that cannot be read for `reason`, with what to do."""
    shard = int(manifest.shard[row])
    number = row - int((manifest.shard < shard).sum())
    path = manifest.directory / manifest.shards[shard].file
    name = file_name(manifest, row)
    image = f"image id {manifest.own_image_id(manifest.image_id[row])}" + (f", file {name}" if name else "")
    cure = "run awsdet convert again" if manifest.layout == AWSDET else "write its shard again"
    return (
        f"record {number} of {path} cannot be read ({image}): {shown(reason)}; {cure} "
        f"(awsdet inspect --records={manifest.directory} lists all that are broken)"
    )


def file_name(manifest, row):
    """The name of the image file of a record, as it is shown; empty if the record does not tell."""
    try:
        with open(manifest.directory / manifest.shards[int(manifest.shard[row])].file, "rb") as file:
            file.seek(int(manifest.offset[row]) + HEADER)
            features = tf.train.Example.FromString(file.read(int(manifest.length[row]))).features.feature
        return shown(b"".join(features["image/filename"].bytes_list.value).decode(errors="surrogateescape"))
    except Exception:  # the record may be damaged anywhere
        return ""


def _one(batch, place):
    """The rows of one record of a batch; what its whole batch is padded to stays."""
    whole = {name: batch[name] for name in ("padded", "objects")}
    each = {name: value for name, value in batch.items() if name not in whole}
    each = tf.nest.map_structure(lambda column: column[place : place + 1], each)
    return tf.nest.map_structure(tf.convert_to_tensor, {**each, **whole})


def _each(one):
    """(record, rows to read) of one image: itself, then with its partner if it has one (see `partners`)."""
    partner = one["partner"]
    if not partner:
        yield one["record"], one
        return
    yield one["record"], {**one, "partner": {**partner, "present": tf.zeros_like(partner["present"])}}
    yield partner["record"], one


def _why(load, rows):
    try:
        with tf.device("CPU:0"):
            load(rows, 1)
    except tf.errors.OpError as error:
        return decoder_words(error.message)
    except UnicodeDecodeError:  # TensorFlow's message quotes the record, and Python cannot read the message
        return "it is not a tf.train.Example"
    return None
