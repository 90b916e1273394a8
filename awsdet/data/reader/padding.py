"""The few sizes that training batches are padded to, and which images share batches, if `padded_sizes` asks for it.

A GPU prepares anew for each size of a batch that it meets: libraries try their convolutions, memory is laid out again,
and ranks that meet a size at different steps wait for one another. Multiples of 32 alone make 40 sizes of COCO.

Images of like shape share batches, so that few sizes need not mean much padding. Which do is a function of the records
alone, so that settings may change between an epoch's steps. The sizes follow from the settings too.

Symbols: N images, K sizes; sizes are height and width in px.
"""

import re

import numpy as np

from awsdet.data.reader.sizes import InputSize

AUTO = "auto"
MOST_SIZES = 8
_SHAPES = MOST_SIZES - 1  # groups of images; the one size more holds whatever else there is
_NOMINAL = InputSize(800, 1333, 32)  # what images are compared at, to find those of like shape


def parse(text, multiple):
    """The sizes in a setting: "" makes (), "auto" stays, and "800x1344,1344x800" becomes pairs, the smallest first.

    Raises ValueError that says what a setting must be.
    """
    if text in ("", AUTO):
        return text or ()
    parts = [re.fullmatch(r"(\d+)x(\d+)", part.strip()) for part in text.split(",")]
    if not all(parts):
        raise ValueError(f"must be {AUTO}, or heights and widths, as in 800x1344,1344x800; empty turns it off")
    sizes = [tuple(map(int, part.groups())) for part in parts]
    wrong = [size for size in sizes if min(size) < 1 or size[0] % multiple or size[1] % multiple]
    if wrong:
        raise ValueError(f"has {wrong[0][0]}x{wrong[0][1]}, whose sides must be multiples of pad_multiple, {multiple}")
    return tuple(sorted(set(sizes), key=lambda size: (size[0] * size[1], size)))


def groups(manifest, padded_sizes):
    """Which images may share a batch: int [N], the number of each image's group; neighbours in number are most alike.

    Without `padded_sizes` (see ReaderOptions) these are landscapes and portraits.
    """
    if not padded_sizes:
        return (manifest.width < manifest.height).astype(np.int64)
    sizes, of_image, counts = _padded(_NOMINAL, manifest.height, manifest.width)
    shapes, of_size = _merged(sizes, counts, _SHAPES)
    order = np.argsort(-shapes[:, 1] / shapes[:, 0], kind="stable")
    return np.argsort(order)[of_size[of_image]]


def sizes_of(manifest, options):
    """What batches are padded to: int32 [K, 2], the smallest first; K is 0 if they are padded to multiples only.

    options: ReaderOptions. If its padded_sizes are "auto", these are at most 8, one of which holds any image.
    """
    if options.padded_sizes != AUTO:
        return np.array(options.padded_sizes, np.int32).reshape(-1, 2)
    rules, group = options.augmentation, groups(manifest, options.padded_sizes)
    wanted, weights = [], []
    for short, share in _largest_short_sides(rules, options.batch_size, options.pad_multiple):
        size = InputSize(short, rules.max_long_side, options.pad_multiple)
        for number, count in enumerate(np.bincount(group)):
            members = group == number
            resized = size.resized(manifest.height[members], manifest.width[members])
            wanted.append(size.padded([side.max() for side in resized]))
            weights.append(count * share)
    found, _ = _merged(*_unique(np.array(wanted), np.array(weights))[::2], MOST_SIZES - 1)
    side = -(-rules.max_long_side // options.pad_multiple) * options.pad_multiple
    return _sorted(np.concatenate([found, [[side, side]]]))


def pad(windows, sizes, multiple):
    """What batches are padded to: int [S, 2], the smallest of `sizes` that holds each of `windows` [S, 2].

    One that fits into none, and all if there are no `sizes`, are padded to multiples of `multiple`.
    """
    padded = -(-windows // multiple) * multiple
    for size in sizes[::-1]:
        padded[(windows <= size).all(axis=1)] = size
    return padded


def described(windows, padded, sizes):
    """What an epoch's padding is like, in words. windows, padded: int [rows, 2], of images and of their batches."""
    used, rows = np.unique(padded, axis=0, return_counts=True)
    known = (used[:, np.newaxis] == sizes).all(axis=-1).any(axis=-1)
    share = 1 - windows.prod(axis=1, dtype=np.int64).sum() / padded.prod(axis=1, dtype=np.int64).sum()
    names = ", ".join(f"{height}x{width}" for height, width in used[known])
    text = f"batches are padded to {names or 'none of data.padded_sizes'}; {share:.1%} of their pixels are padding"
    if known.all():
        return text
    return (
        f"{text}; {rows[~known].sum()} of {len(padded)} images are in batches that fit none of data.padded_sizes, and "
        f"are padded to {(~known).sum()} other size(s): give a larger size too, or {AUTO}"
    )


def _padded(size, height, width):
    """(different padded sizes, the number of each image's, how many images have each) at an InputSize."""
    padded = np.stack(size.padded(np.stack(size.resized(height, width))), axis=-1)
    return _unique(padded, np.ones(len(padded)))


def _unique(sizes, weights):
    """(different rows of `sizes`, the number of each row's, the sum of the weights of each)."""
    different, number = np.unique(sizes, axis=0, return_inverse=True)
    return different, number.reshape(-1), np.bincount(number.reshape(-1), weights)


def _sorted(sizes):
    sizes = np.unique(sizes, axis=0).astype(np.int32)
    return sizes[np.argsort(sizes.prod(axis=1), kind="stable")]


def _merged(sizes, weights, most):
    """Merges sizes until there are at most `most`, always the two that cost the fewest pixels of padding.

    Returns (the sizes that are left, which of them each of `sizes` became part of).
    """
    sizes, weights = sizes.astype(np.int64), np.asarray(weights, np.float64)
    of_size = np.arange(len(sizes))
    while len(sizes) > most:
        area = sizes.prod(axis=1)
        common = np.maximum(sizes[:, np.newaxis], sizes[np.newaxis]).prod(axis=2)
        cost = weights[:, np.newaxis] * (common - area[:, np.newaxis]) + weights * (common - area)
        cost[np.tril_indices(len(sizes))] = np.inf
        kept, merged = np.unravel_index(np.argmin(cost), cost.shape)
        sizes[kept] = np.maximum(sizes[kept], sizes[merged])
        weights[kept] += weights[merged]
        sizes, weights = np.delete(sizes, merged, axis=0), np.delete(weights, merged)
        of_size[of_size == merged] = kept
        of_size[of_size > merged] -= 1
    return sizes, of_size


def _largest_short_sides(rules, images, multiple):
    """(short side, share of the batches of `images` images whose largest short side that is), in steps of `multiple`.

    The largest image decides what its batch is padded to.
    """
    low, high = rules.short_side_range
    drawn = np.arange(low, high + 1) if high else np.array(rules.short_sides)
    step = -(-drawn // multiple)
    below = 0.0
    for value in np.unique(step):
        share = (step <= value).mean() ** images
        yield int(drawn[step == value].max()), share - below
        below = share
