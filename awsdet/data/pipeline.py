"""The reader: records to batches, all in `tf.data`.

A batch is the dict of the design (B images, G the largest number of objects in the batch):

| key | dtype, shape | meaning |
|---|---|---|
| image | uint8 [B, H, W, 3] | RGB, resized, zero-padded; H and W multiples of `pad_multiple` |
| image_size | int32 [B, 2] | valid height, width before padding |
| original_size | int32 [B, 2] | height, width of the source image |
| image_id | int64 [B] | |
| boxes | float32 [B, G, 4] | x1, y1, x2, y2 in px of the resized image; zeros = padding |
| classes | int32 [B, G] | -1 = padding |
| is_crowd | bool [B, G] | |
| masks | dict of ragged tensors | `polygons`: float32 [B, (objects), (parts), (x0 y0 x1 …)]; `rles`: int32 [B,
(objects), (runs)] |

Masks have a row for each real object, in the order of `boxes`, in px of the resized image; run lengths are COCO's
(column-major over the valid area, zeros first). An object has polygons or runs; a crowd, and an object without a
mask, neither.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from awsdet.cores import usable_cores
from awsdet.data import parsing, plan
from awsdet.data.manifest import HEADER
from awsdet.errors import UserError

PREFETCH = 4  # batches that may wait for the model: enough to ride out a slow image, little memory


class TrainData(NamedTuple):
    """The training batches of one rank. repeated: images that an epoch shows twice to complete its last batch."""

    dataset: tf.data.Dataset
    steps_per_epoch: int
    num_images: int
    repeated: int


def train_dataset(manifest, data_config, *, seed, rank, world_size, epochs, start_step=0):
    """The batches of one rank from `start_step` to the end of `epochs`. Returns a TrainData.

    An epoch shows every image once over all ranks, in an order that depends on seed and epoch alone; every rank takes
    the same number of steps. data_config: the section `data` of a config. Raises UserError where there is no image to
    train on or a setting cannot be.
    """
    _check(data_config)
    records = np.arange(manifest.num_images)
    if not data_config.keep_empty:
        records = records[manifest.num_objects > 0]
    if not len(records):
        raise UserError(f"split {manifest.split} in {manifest.directory} has no image to train on")
    global_batch = data_config.batch_size * world_size
    steps = plan.steps_per_epoch(records, manifest.width >= manifest.height, global_batch)
    repeated = steps * global_batch - len(records)
    if rank == 0:
        logging.info("%d images, %d steps an epoch of %d images", len(records), steps, global_batch)
        if repeated:
            logging.info("%d images of each epoch are shown twice, to complete its last batch", repeated)
    first, skip = divmod(start_step, steps)
    plans = [
        plan.train_epoch(manifest, records, data_config, seed, epoch, rank, world_size)
        for epoch in range(first, max(epochs, first + 1))
    ]
    wanted = slice(skip * data_config.batch_size, max(epochs - first, 0) * steps * data_config.batch_size)
    rows = plan.Plan(*(np.concatenate(columns)[wanted] for columns in zip(*plans)))
    dataset = _read(manifest, rows, data_config.batch_size, data_config.reader_threads, drop_remainder=True)
    return TrainData(dataset, steps, len(records), repeated)


def eval_dataset(manifest, data_config, *, rank, world_size):
    """The evaluation batches of one rank, a finite `tf.data.Dataset`.

    Batches are formed for the whole set and dealt out, so each image comes once and its batch is the same whatever the
    number of ranks. Ranks may have one batch more or less than others.
    """
    _check(data_config)
    rows = plan.evaluation(manifest, data_config, rank, world_size)
    return _read(manifest, rows, data_config.eval_batch_size, data_config.reader_threads, drop_remainder=False)


def _check(config):
    for name in ("batch_size", "eval_batch_size", "max_long_side", "eval_short_side", "pad_multiple"):
        if config[name] < 1:
            raise UserError(f"--config.data.{name}={config[name]}: 1 at least")
    if not config.short_sides or min(config.short_sides) < 1:
        raise UserError(f"--config.data.short_sides={config.short_sides}: one size at least, all of them 1 or more")
    if not 0 <= config.flip_probability <= 1:
        raise UserError(f"--config.data.flip_probability={config.flip_probability}: between 0 and 1")


def _read(manifest, rows, batch_size, threads, drop_remainder):
    fetch = _fetcher(manifest)
    parse = parsing.parser(manifest)

    def load(row):
        return parsing.assemble(parse(fetch(row["record"]), row), row)

    columns = {"height": manifest.height, "width": manifest.width, "image_id": manifest.image_id}
    values = {**rows._asdict(), **{name: column[rows.record] for name, column in columns.items()}}
    dataset = tf.data.Dataset.from_tensor_slices(values)
    dataset = dataset.map(load, num_parallel_calls=threads or usable_cores(), deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder).prefetch(PREFETCH)
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)


def _fetcher(manifest):
    """A function from a record's index (int32 scalar tensor) to its bytes (string scalar)."""
    files = tf.constant([str(manifest.directory / shard.file) for shard in manifest.shards], tf.string)
    sizes = tf.constant([shard.size for shard in manifest.shards], tf.int64)
    shards, offsets, lengths = (tf.constant(a) for a in (manifest.shard, manifest.offset, manifest.length))

    def fetch(record):
        shard, length = shards[record], lengths[record]
        before = offsets[record] + HEADER
        after = sizes[shard] - before - length
        # A file of one record with all else as its header and footer: reads just these bytes, whatever the file system.
        return tf.data.FixedLengthRecordDataset(files[shard], length, before, after).get_single_element()

    return fetch
