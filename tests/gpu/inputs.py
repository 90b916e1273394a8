"""Random inputs of the operators, as large as in training on COCO, from a generator of NumPy's.

Symbols: B images, N boxes per image, C channels.
"""

import functools
from typing import NamedTuple

import numpy as np

STRIDES = (4, 8, 16, 32, 64)  # px per cell of the levels P2 to P6
ANCHORS = 3  # per cell
STDS = (0.1, 0.1, 0.2, 0.2)
MAX_LOG_RATIO = 4.135166556742356


class Sizes(NamedTuple):
    """How large the inputs are; the defaults are those of training."""

    images: int = 2
    height: int = 800
    width: int = 1344
    channels: int = 256
    objects: int = 20  # per image
    proposals: int = 1000  # per image
    samples: int = 256  # per image
    classes: int = 80
    per_level: int = 2000  # boxes that the RPN keeps of a level
    variables: int = 1000  # the most that are updated; a Mask R-CNN has 168


# For the tests of the proof itself.
SMALL = Sizes(2, 96, 128, 16, objects=5, proposals=60, samples=32, classes=5, per_level=50, variables=20)


def grids(sizes):
    """(height, width) of each level, in cells."""
    return [(-(-sizes.height // stride), -(-sizes.width // stride)) for stride in STRIDES]


@functools.lru_cache(1)  # for several calls, since drawing it takes longer than they do
def pyramid(sizes):
    """The levels P2 to P6: list of float32 [B, H, W, C], always the same for the same Sizes."""
    random = np.random.default_rng(0)
    return [random.standard_normal((sizes.images, *grid, sizes.channels), np.float32) for grid in grids(sizes)]


def boxes(random, shape, sizes):
    """float32 [*shape, 4]; sides are log-uniform from 8 px to the image's, and may reach beyond it."""
    limit = np.log(min(sizes.height, sizes.width))
    extent = np.exp(random.uniform(np.log(8), limit, (*shape, 1)) + random.uniform(-0.5, 0.5, (*shape, 2)))
    centre = random.uniform(0, 1, (*shape, 2)) * [sizes.width, sizes.height]
    return np.concatenate([centre - extent / 2, centre + extent / 2], axis=-1).astype(np.float32)


def crowd(random, objects, count):
    """float32 [B, count, 4]: boxes around those of `objects` [B, G, 4], so that many overlap."""
    chosen = objects[:, random.integers(0, objects.shape[1], count)]
    extent = np.tile(chosen[..., 2:] - chosen[..., :2], (1, 1, 2))
    return (chosen + extent * random.uniform(-0.3, 0.3, chosen.shape)).astype(np.float32)


def image_size(random, sizes):
    """int32 [B, 2], height and width: the first image fills the batch, the others less of it."""
    shrunk = random.uniform(0.7, 1.0, (sizes.images, 2))
    shrunk[0] = 1.0
    return (shrunk * [sizes.height, sizes.width]).astype(np.int32)


def ranked(random, count, lists):
    """(scores float32 [count], list numbers int32 [count]): lists one after the other, scores falling in each."""
    numbers = np.sort(random.integers(0, lists, count)).astype(np.int32)
    scores = np.round(random.uniform(0, 1, count), 3).astype(np.float32)  # rounded: many are equal
    return scores[np.lexsort((-scores, numbers))], numbers
