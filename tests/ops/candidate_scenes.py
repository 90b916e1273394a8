"""Random images with candidates and objects, for the tests of match and sample."""

import numpy as np

from tests.ops import fuzz

# Boxes that a detector should not give; their areas do not overflow.
ODD = [(5, 5, 5, 5), (9, 9, 3, 4), (-500, -500, -400, -300), (-9e8, -9e8, 9e8, 9e8), (0, 0, 1e-20, 1e-20), (0, 0, 0, 0)]

# The options of `match` but with_truth, as for the RPN.
RULE = {
    "positive_iou": 0.7,
    "negative_iou": 0.3,
    "low_quality_matches": True,
    "min_positive_iou": 0.3,
    "ignore_iof": 0.5,
}


def boxes(random, shape, extent, coarse):
    """float32 [*shape, 4]; on a grid of 4 px if `coarse`, so that many overlaps are equal. Every eighth box is odd."""
    corner = random.uniform(-0.2 * extent, extent, (*shape, 2))
    side = extent * random.choice([0.02, 0.1, 0.4, 1.5], (*shape, 1)) * random.uniform(0, 1, (*shape, 2))
    found = np.concatenate([corner, corner + side], axis=-1)
    if coarse:
        found = np.round(found / 4) * 4
    odd = np.array(ODD)[random.integers(0, len(ODD), shape)]
    return np.where(random.random((*shape, 1)) < 0.125, odd, found).astype(np.float32)


def lattice(random, count):
    """float32 [count, 4]: candidates in rows and columns, as anchors are."""
    per_cell = int(random.integers(1, 4))
    cell = np.arange(count) // per_cell
    width = int(random.integers(1, 60))
    centre = 8.0 * np.stack([cell % width, cell // width], axis=1)
    half = 16.0 * np.stack([np.arange(count) % per_cell + 1, per_cell - np.arange(count) % per_cell], axis=1)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def scene(random, images=None, count=None, objects=None):
    """The arguments candidates, valid, boxes, is_target, is_crowd of `match`."""
    images = fuzz.images(random) if images is None else images
    small = images > 3
    count = int(random.choice([0, 1, 2, 20, 63, 64, 65, *([] if small else [200, 700])])) if count is None else count
    objects = int(random.choice([0, 1, 2, 7, *([] if small else [63, 64, 65, 130])])) if objects is None else objects
    extent, coarse = float(random.choice([20, 100, 400])), bool(random.integers(0, 2))
    if random.random() < 0.3:
        candidates = lattice(random, count)
    else:
        shape = (count,) if random.random() < 0.3 else (images, count)
        candidates = boxes(random, shape, extent, coarse)
    truth = boxes(random, (images, objects), extent, coarse)
    if objects and count and random.random() < 0.5:  # objects that are candidates, and objects that are equal
        same = random.integers(0, objects, objects // 2 + 1)
        truth[:, same] = candidates[..., random.integers(0, count, len(same)), :]
        truth[:, -1] = truth[:, 0]
    kind = random.choice(3, (images, objects), p=random.choice([[1, 0, 0], [0.6, 0.2, 0.2], [0, 0.3, 0.7]]))
    valid = random.random((images, count)) < random.choice([0, 0.1, 0.8, 1.0])
    return candidates, valid, truth, kind == 0, kind == 1


def rule(random):
    """The options of `match` but with_truth."""
    positive, negative = random.choice([(0.7, 0.3), (0.5, 0.5), (0.5, 0.4), (0.3, 0.0), (0.0, 0.0), (1.0, 1.0)])
    return {
        "positive_iou": float(positive),
        "negative_iou": float(negative),
        "low_quality_matches": bool(random.random() < 0.8),
        "min_positive_iou": float(random.choice([0.3, 0.0, 0.5, -1.0])),
        "ignore_iof": float(random.choice([0.5, 0.0, 0.9, -1.0])),
    }


def equal(ours, theirs):
    """Whether two NamedTuples of tensors agree: deltas within their rounding, everything else exactly."""
    for name in ours._fields:
        mine, other = getattr(ours, name).numpy(), getattr(theirs, name).numpy()
        if mine.dtype != other.dtype or mine.shape != other.shape:
            return False
        if name == "deltas":
            if not np.allclose(mine, other, rtol=1e-5, atol=1e-5):
                return False
        elif not np.array_equal(mine, other):
            return False
    return True
