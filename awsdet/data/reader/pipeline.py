"""The reader: records to batches, all in `tf.data`.

A batch is the dict of the design (B images, G the largest number of objects in the batch):

| key | dtype, shape | meaning |
|---|---|---|
| image | uint8 [B, H, W, 3] | RGB, resized, cropped, zero-padded; H and W multiples of `pad_multiple` |
| image_size | int32 [B, 2] | valid height, width before padding, from the top left corner: the window of `Placement` |
| original_size | int32 [B, 2] | height, width of the source image |
| image_id | int64 [B] | |
| boxes | float32 [B, G, 4] | x1, y1, x2, y2 in px of `image`; zeros = padding |
| classes | int32 [B, G] | -1 = padding |
| is_crowd | bool [B, G] | |
| masks | dict of ragged tensors | `polygons`: float32 [B, (objects), (parts), (x0 y0 x1 …)]; `rles`: int32 [B,
(objects), (runs)] |

Masks have a row for each real object, in the order of `boxes`, in px of `image`; run lengths are COCO's (column-major
over the valid area, zeros first). An object has polygons or runs; a crowd, and an object without a mask, neither.
Objects of which a crop leaves too little are not there (see `place_annotations`).
"""

import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from awsdet.data.reader import broken, padding, parsing, partners, plan
from awsdet.data.reader.position import Position
from awsdet.ops.read_record import read_record
from awsdet.runtime.cores import usable_cores
from awsdet.runtime.errors import UserError

PREFETCH = 4  # batches that may wait for the model: enough to ride out a slow image, little memory
AHEAD = 2 * PREFETCH  # batches that the reader, and whoever takes its batches, may be ahead of the model


class TrainData(NamedTuple):
    """The training batches of one rank. repeated: images that an epoch shows twice to complete its last batch."""

    dataset: tf.data.Dataset
    steps_per_epoch: int
    num_images: int
    repeated: int


def train_dataset(manifest, options, *, seed, rank, world_size, epochs, start_step=0, start=None):
    """The batches of one rank from `start_step` to the end of `epochs`. Returns a TrainData.

    An epoch shows every image once over all ranks, in an order that depends on seed and epoch alone; every rank takes
    the same number of steps. options: ReaderOptions. start: a Position to begin at instead of a step; it may lie in an
    epoch that other numbers of processes have begun, which is then completed with the images that they left.

    Raises UserError if there is no image to train on.
    """
    records = trainable_records(manifest, options)
    size = options.batch_size
    global_batch = size * world_size
    steps = steps_per_epoch(manifest, options, world_size)
    repeated = steps * global_batch - len(records)
    if rank == 0 and repeated:
        logging.info("%d images of each epoch are shown twice, to complete its last batch", repeated)
    if start is None:
        start = Position(start_step // steps).advanced(global_batch, start_step % steps)
    ranks = (seed, rank, world_size)
    rows = _train_rows(manifest, records, options, ranks, start, epochs, log=rank == 0)
    parse = parsing.parser(manifest, options.augmentation)
    dataset = _read(manifest, rows, size, parse, options.reader_threads)
    return TrainData(dataset, steps, len(records), repeated)


def broken_in_training(manifest, options, *, seed, rank, world_size, start):
    """What is wrong with the first record of one rank's next batches that the reader cannot read; None if none is.

    A sentence (see `broken`). start: Position after the last batch that was read. The next few batches are looked at,
    since the reader is ahead of the model.
    """
    records = trainable_records(manifest, options)
    rows = _train_rows(manifest, records, options, (seed, rank, world_size), start, start.epoch + 1)
    rows = tf.nest.map_structure(lambda column: column[: AHEAD + 1], rows)
    parse = parsing.parser(manifest, options.augmentation)
    return broken.first_broken(manifest, rows, _loader(manifest, parse))


def _train_rows(manifest, records, options, ranks, start, epochs, log=False):
    """The rows (see `_batches`) of one rank from a Position to the end of `epochs`; ranks: (seed, rank, world size)."""
    seed, rank, world_size = ranks
    size, global_batch, first = options.batch_size, options.batch_size * world_size, start.epoch
    earlier, skip = start.split(global_batch)
    plans = []
    for epoch in range(first, max(epochs, first + 1)):
        segments = earlier if epoch == first else ()
        rows = plan.train_epoch(manifest, records, options, seed, epoch, rank, world_size, segments)
        if log and epoch == first and options.padded_sizes:
            sizes = padding.sizes_of(manifest, options)
            logging.info("in epoch %d %s", epoch + 1, padding.described(rows.placement.window, rows.padded, sizes))
        plans.append(_batches(manifest, rows, size))
    # A run that has done all its epochs gets an empty dataset.
    wanted = slice(skip, None if epochs > first else 0)
    # All ahead: a plan made by Python within tf.data can wait for ever for an interpreter that is about to end.
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts)[wanted], *plans)


def steps_per_epoch(manifest, options, world_size):
    """How many steps an epoch of `train_dataset` has. Raises UserError if there is no image to train on."""
    return steps_left(manifest, options, 0, Position(), options.batch_size * world_size)


def steps_left(manifest, options, seed, position, images):
    """How many steps of `images` images over all ranks the epoch of a Position still has."""
    records = trainable_records(manifest, options)
    earlier, done = position.split(images)
    group = padding.groups(manifest, options.padded_sizes)
    left = plan.remaining(group, records, seed, position.epoch, earlier)
    return plan.steps_per_epoch(left, group, images) - done


def trainable_records(manifest, options):
    """Indices of the records to train on, an array. Raises UserError if there is none, or none to paste from."""
    records = np.arange(manifest.num_images)
    if not options.keep_empty:
        records = records[manifest.num_objects > 0]
    if not len(records):
        raise UserError(f"split {manifest.split} in {manifest.directory} has no image to train on")
    if options.augmentation.copy_paste:
        partners.check(manifest, records)
    return records


def eval_dataset(manifest, options, *, rank, world_size):
    """The evaluation batches of one rank, a finite `tf.data.Dataset`.

    Batches are formed for the whole set and dealt out, so each image comes once and its batch is the same whatever the
    number of ranks. Ranks may have one batch more or less than others. options: ReaderOptions.
    """
    threads, parse = options.reader_threads, parsing.parser(manifest)
    parts = _eval_rows(manifest, options, rank, world_size)
    first, *rest = (_read(manifest, rows, rows["record"].shape[1], parse, threads) for rows in parts)
    return first.concatenate(rest[0]) if rest else first


def broken_in_evaluation(manifest, options, *, rank, world_size, done):
    """As `broken_in_training`, for an evaluation of which the model has had `done` batches."""
    load, end = _loader(manifest, parsing.parser(manifest)), done + AHEAD + 1
    for rows in _eval_rows(manifest, options, rank, world_size):
        near = tf.nest.map_structure(lambda column, near=slice(done, end): column[near], rows)
        found = broken.first_broken(manifest, near, load)
        if found:
            return found
        done, end = (max(0, step - len(rows["record"])) for step in (done, end))
    return None


def _eval_rows(manifest, options, rank, world_size):
    """The rows (see `_batches`) of one rank's evaluation: of the full batches, and of a short one if any."""
    rows = plan.evaluation(manifest, options, rank, world_size)
    size = options.eval_batch_size
    whole = len(rows.record) // size * size
    full = tf.nest.map_structure(lambda column: column[:whole], rows)
    short = tf.nest.map_structure(lambda column: column[whole:], rows)
    rest = len(rows.record) - whole
    return [_batches(manifest, full, size), *([_batches(manifest, short, rest)] if rest else [])]


def _batches(manifest, rows, size):
    """Rows of a plan with what the manifest says of their images: a dict of arrays [S, B, …] (see `parsing`)."""
    columns = {**rows._asdict(), **_places(manifest, rows.record), "image_id": manifest.image_id[rows.record]}
    columns["original_size"] = np.stack([manifest.height[rows.record], manifest.width[rows.record]], axis=-1)
    if rows.partner:
        columns["partner"] = {**rows.partner, **_places(manifest, rows.partner["record"])}
    columns = tf.nest.map_structure(lambda column: column.reshape(-1, size, *column.shape[1:]), columns)
    return {**columns, "padded": columns["padded"][:, 0], "objects": columns["objects"][:, 0]}


def _places(manifest, record):
    """Where records lie in the shards."""
    return {name: getattr(manifest, name)[record] for name in ("shard", "offset", "length")}


def _loader(manifest, parse):
    """The function (rows of one batch, their number) -> batch, which reads the records and has `parse` do the rest."""
    files = tf.constant([os.fsencode(manifest.directory / shard.file) for shard in manifest.shards], tf.string)
    nothing = partners.no_record()

    def places(rows, size):
        columns = tf.gather(files, rows["shard"]), rows["offset"], rows["length"]
        return list(zip(*(tf.unstack(column, size) for column in columns)))

    def load(rows, size):
        theirs, partner = [], rows["partner"]
        if partner:
            present = tf.unstack(partner["present"], size)
            theirs = [
                tf.cond(there, lambda place=place: read_record(*place), lambda: tf.constant(nothing))
                for there, place in zip(present, places(partner, size))
            ]
        return parse([read_record(*place) for place in places(rows, size)], theirs, rows)

    return load


def _read(manifest, rows, size, parse, threads):
    """The dataset of batches of `size` images that `parse` makes of `rows` (see `_batches`)."""
    load = _loader(manifest, parse)
    # What depends on tensors is written with tf.cond: autograph would take a second, and convert nothing.
    make = tf.autograph.experimental.do_not_convert(lambda rows: load(rows, size))
    # The images of a batch are decoded side by side, then resized one after the other.
    calls = 1 + -(-(threads or usable_cores()) // size)
    dataset = (
        tf.data.Dataset.from_tensor_slices(rows)
        .map(make, num_parallel_calls=calls, deterministic=True)
        .prefetch(PREFETCH)
    )
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)
