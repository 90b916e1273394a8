"""Which images make up which batch, made ahead with NumPy; a pure function of the records, the seed and the epoch.

Symbols: S steps, B images in a batch of one rank, G rows of `boxes`. Because the plan of any epoch can be made
without those before it, a run resumes at any step without reading what came earlier.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from awsdet.data.reader import augment, padding, partners
from awsdet.ops.placement import Placement


class Plan(NamedTuple):
    """Rows in the order they are read, B in a row making a batch; all arrays have one entry per row.

    record: int32, index into the manifest; placement: Placement; others: dict of what else was drawn (see `augment`);
    partner: dict of what `partners` drew, {} without copy-paste;
    padded: int32 [rows, 2], height and width, and objects: int32, what all rows of a batch are padded to.
    """

    record: np.ndarray
    placement: Placement
    others: dict
    partner: dict
    padded: np.ndarray
    objects: np.ndarray


def form_batches(order, group, size):
    """Forms batches of images of one group wherever possible. Returns int32 [batches, size].

    order: indices of images; group: int by index (see `padding.groups`). What is left over of all groups makes up the
    last batches together; the very last one is filled up with -1.
    """
    groups = [order[group[order] == number] for number in range(group.max(initial=0) + 1)]
    whole = [len(group) // size * size for group in groups]
    rest = np.concatenate([group[count:] for group, count in zip(groups, whole)])
    rest = np.concatenate([rest, np.full(-len(rest) % size, -1, rest.dtype)])
    parts = [group[:count] for group, count in zip(groups, whole)] + [rest]
    return np.concatenate(parts).reshape(-1, size).astype(np.int32)


def steps_per_epoch(records, group, size):
    """Number of batches that `form_batches` makes of the images `records`."""
    counts = np.bincount(group[records])
    return int((counts // size).sum() - (-(counts % size).sum() // size))


def train_epoch(manifest, records, options, seed, epoch, rank, world_size, segments=()):
    """The Plan of one rank for one epoch of training, or for what is left of an epoch after other segments.

    records: indices of the images to train on; options: ReaderOptions. Every image is in one batch of one rank; the
    last batch is completed with images from the start of the epoch's order, of its own group if there are any.
    segments: those that the epoch has behind it (see `position`), read by other numbers of processes. At least one
    image must be left.
    """
    group = padding.groups(manifest, options.padded_sizes)
    left = remaining(group, records, seed, epoch, segments)
    key, rng = _source(seed, epoch, len(segments))
    batches = form_batches(rng.permutation(left), group, options.batch_size * world_size)
    last = batches[-1]
    if last[-1] < 0:
        order = _source(seed, epoch, 0)[1].permutation(records)
        like = group[order] == group[last[last >= 0][-1]]
        candidates = np.concatenate([order[like], order[~like]])
        fresh = candidates[~np.isin(candidates, last)]
        last[last < 0] = np.resize(fresh if len(fresh) else candidates, (last < 0).sum())
    batches = rng.permutation(batches)  # or the mixed ones would always come last
    mine = slice(rank * options.batch_size, (rank + 1) * options.batch_size)
    draws = augment.Draws(rng, key, batches.shape, mine)
    batches = batches[:, mine]
    drawn = augment.draw(options.augmentation, manifest.height[batches], manifest.width[batches], draws)
    partner = partners.draw(options.augmentation, manifest, records, draws)
    sizes = padding.sizes_of(manifest, options)
    return _complete(manifest, batches, drawn, options.pad_multiple, sizes, options.augmentation, partner)


def remaining(group, records, seed, epoch, segments):
    """Those of `records` that are left of an epoch after `segments`, in their order; `group` as in `form_batches`.

    An image that completed a batch is not counted as shown by that: it comes, or came, in a batch of its own.
    """
    for number, (images, steps) in enumerate(segments):
        _, rng = _source(seed, epoch, number)
        batches = rng.permutation(form_batches(rng.permutation(records), group, images))
        records = records[~np.isin(records, batches[:steps])]
    return records


def _source(seed, epoch, segment):
    """(key, generator) of all that is drawn for a segment of an epoch, segments counted from 0."""
    key = (seed % 2**32, epoch, segment) if segment else (seed % 2**32, epoch)
    return key, np.random.default_rng(key)


def evaluation(manifest, options, rank, world_size):
    """The Plan of one rank for an evaluation: the batches of the whole set, dealt out in turn.

    Images of like size share a batch. Only the very last batch of the set may be short.
    """
    height, width = options.eval_size.resized(manifest.height, manifest.width)
    order = np.lexsort((np.arange(manifest.num_images), width, height))
    group = padding.groups(manifest, ())
    batches = form_batches(order, group, options.eval_batch_size)[rank::world_size]
    size = np.stack([height, width], axis=-1)[batches]
    placement = Placement(size, np.zeros_like(size), size, np.zeros(batches.shape, bool))
    return _complete(manifest, batches, augment.Drawn(placement, {}), options.eval_size.pad_multiple)


def _complete(manifest, batches, drawn, multiple, sizes=(), rules=None, partner=None):
    """The Plan for batches int32 [S, B], of which entries of -1 are left out.

    sizes: as `padding.sizes_of` returns them; rules: Augmentation, of training; partner: as `partners.draw` returns it.
    """
    real = batches >= 0
    window = drawn.placement.window * real[:, :, np.newaxis]
    padded = padding.pad(window.max(axis=1), sizes, multiple)
    if rules and rules.canvas:
        padded[:] = rules.canvas
    objects = manifest.num_objects[batches] + partners.rows_pasted(rules, partner)
    objects = np.maximum((objects * real).max(axis=1), 1)
    count = batches.shape[1]
    return Plan(
        record=batches[real],
        placement=Placement(*(part[real] for part in drawn.placement)),
        others={name: part[real] for name, part in drawn.others.items()},
        partner=tf.nest.map_structure(lambda part: part[real], partner or {}),
        padded=np.repeat(padded, count, axis=0).reshape(*batches.shape, 2)[real].astype(np.int32),
        objects=np.repeat(objects, count).reshape(batches.shape)[real].astype(np.int32),
    )
