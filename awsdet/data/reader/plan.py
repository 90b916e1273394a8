"""Which images make up which batch, made ahead with NumPy; a pure function of the records, the seed and the epoch.

Symbols: S steps, B images in a batch of one rank, G rows of `boxes`. Because the plan of any epoch can be made
without those before it, a run resumes at any step without reading what came earlier.
"""

from typing import NamedTuple

import numpy as np

from awsdet.data.reader.sizes import resize_plan


class Plan(NamedTuple):
    """Rows in the order they are read, B in a row making a batch; all arrays have one entry a row.

    record: int32, index into the manifest; flip: bool; size: int32 [rows, 2], resized height and width; padded: int32
    [rows, 2] and objects: int32, what all rows of a batch are padded to.
    """

    record: np.ndarray
    flip: np.ndarray
    size: np.ndarray
    padded: np.ndarray
    objects: np.ndarray


def form_batches(order, is_landscape, size):
    """Groups images into batches of one orientation wherever possible. Returns int32 [batches, size].

    order: indices of images; is_landscape: bool by index. What is left over of both orientations makes up the last
    batches together; the very last one is filled up with -1.
    """
    groups = [order[is_landscape[order]], order[~is_landscape[order]]]
    whole = [len(group) // size * size for group in groups]
    rest = np.concatenate([group[count:] for group, count in zip(groups, whole)])
    rest = np.concatenate([rest, np.full(-len(rest) % size, -1, rest.dtype)])
    parts = [group[:count] for group, count in zip(groups, whole)] + [rest]
    return np.concatenate(parts).reshape(-1, size).astype(np.int32)


def steps_per_epoch(records, is_landscape, size):
    """Number of batches that `form_batches` makes of the images `records`."""
    landscapes = int(is_landscape[records].sum())
    portraits = len(records) - landscapes
    rest = landscapes % size + portraits % size
    return landscapes // size + portraits // size + -(-rest // size)


def train_epoch(manifest, records, config, seed, epoch, rank, world_size):
    """The Plan of one rank for one epoch of training.

    records: indices of the images to train on; config: the section `data`. Every image is in one batch of one rank; the
    last batch is completed with images from the start of the epoch's order, of its own orientation where there are any.
    """
    rng = np.random.default_rng([seed % 2**32, epoch])
    is_landscape = manifest.width >= manifest.height
    order = rng.permutation(records)
    batches = form_batches(order, is_landscape, config.batch_size * world_size)
    last = batches[-1]
    if last[-1] < 0:
        like = is_landscape[order] == is_landscape[last[last >= 0][-1]]
        candidates = np.concatenate([order[like], order[~like]])
        fresh = candidates[~np.isin(candidates, last)]
        last[last < 0] = np.resize(fresh if len(fresh) else candidates, (last < 0).sum())
    batches = rng.permutation(batches)  # or the mixed ones would always come last
    flip = rng.random(batches.shape) < config.flip_probability
    short = np.array(config.short_sides)[rng.integers(len(config.short_sides), size=batches.shape)]
    mine = slice(rank * config.batch_size, (rank + 1) * config.batch_size)
    return _complete(manifest, config, batches[:, mine], flip[:, mine], short[:, mine])


def evaluation(manifest, config, rank, world_size):
    """The Plan of one rank for an evaluation: the batches of the whole set, dealt out in turn.

    Images of like size share a batch. Only the very last batch of the set may be short.
    """
    height, width = resize_plan(manifest.height, manifest.width, config.eval_short_side, config.max_long_side)
    order = np.lexsort((np.arange(manifest.num_images), width, height))
    batches = form_batches(order, manifest.width >= manifest.height, config.eval_batch_size)[rank::world_size]
    short = np.full(batches.shape, config.eval_short_side)
    return _complete(manifest, config, batches, np.zeros(batches.shape, bool), short)


def _complete(manifest, config, batches, flip, short):
    """Sizes and paddings for batches int32 [S, B]; entries of -1 are left out."""
    real = batches >= 0
    rows = np.maximum(batches, 0)
    size = np.stack(resize_plan(manifest.height[rows], manifest.width[rows], short, config.max_long_side), axis=-1)
    size *= real[:, :, None]
    multiple = config.pad_multiple
    padded = -(-size.max(axis=1) // multiple) * multiple
    objects = np.maximum((manifest.num_objects[rows] * real).max(axis=1), 1)
    count = batches.shape[1]
    return Plan(
        record=batches[real],
        flip=flip[real],
        size=size[real],
        padded=np.repeat(padded, count, axis=0).reshape(*batches.shape, 2)[real].astype(np.int32),
        objects=np.repeat(objects, count).reshape(batches.shape)[real].astype(np.int32),
    )
