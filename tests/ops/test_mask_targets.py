"""The compiled mask targets against their plain twins, and what they refuse."""

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco_mask

from awsdet.ops import mask_targets as compiled
from awsdet.ops.reference import mask_targets as plain

SQUARE, HOLE = [10.0, 10, 30, 10, 30, 30, 10, 30], [15.0, 15, 25, 15, 25, 25, 15, 25]
BOW = [10.0, 10, 30, 30, 30, 10, 10, 30]  # crosses itself


def ragged(objects):
    return tf.ragged.constant(objects, ragged_rank=2, dtype=tf.float32)


def random_rois(rng, count):
    corner = rng.uniform(-15, 45, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(-2, 60, (count, 2))], axis=1).astype(np.float32)


def random_polygons(rng, count):
    """Objects of up to four parts; some parts have fewer than three points."""

    def part():
        return rng.uniform(-20, 80, 2 * rng.integers(0, 12)).tolist()

    return ragged([[part() for _ in range(rng.integers(0, 5))] for _ in range(count)])


def runs_of(bitmap):
    """Column-major run lengths that begin with zeros."""
    flat = bitmap.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return np.diff(np.concatenate([[0], edges, [flat.size]])).astype(np.int32).tolist()


def random_bitmap(rng):
    height, width = rng.integers(1, 80, 2)
    cell = rng.integers(1, 20)
    coarse = rng.uniform(size=(height // cell + 1, width // cell + 1)) < 0.5
    return np.kron(coarse, np.ones((cell, cell)))[:height, :width].astype(np.uint8)


def rle(bitmaps):
    rles = tf.ragged.constant([runs_of(b) for b in bitmaps], dtype=tf.int32, ragged_rank=1)
    return rles, np.array([b.shape for b in bitmaps], np.int32)


def bin_means(bitmap, roi, size):
    """RoIAlign of one bitmap in float64, from the definition (a sample about every pixel, bilinear, averaged)."""
    height, width = bitmap.shape
    x1, y1, x2, y2 = roi.astype(np.float64)
    factors = []
    for low, high, extent in ((y1, y2, height), (x1, x2, width)):
        step = (high - low) / size
        samples = max(int(np.ceil(step)), 0)
        factor = np.zeros((size, extent))
        for p in range(size):
            for s in range(samples):
                at = low - 0.5 + (p + (s + 0.5) / samples) * step
                if -1 <= at <= extent:
                    at = np.clip(at, 0, extent - 1)
                    factor[p] += np.maximum(1 - np.abs(np.arange(extent) - at), 0) / samples
        factors.append(factor)
    return factors[0] @ bitmap @ factors[1].T


@pytest.mark.parametrize("seed", range(6))
def test_polygons_equal_the_twin_bit_for_bit(seed):
    rng = np.random.default_rng(seed)
    size = int(rng.choice([1, 7, 14, 28, 65, 130]))
    polygons, count = random_polygons(rng, 7), 30
    objects, rois = rng.integers(0, 7, count).astype(np.int32), random_rois(rng, count)
    found = compiled.polygon_targets(polygons, objects, rois, size).numpy()
    np.testing.assert_array_equal(found, plain.polygon_targets(polygons, objects, rois, size).numpy())
    assert found.any() and not found.all()


@pytest.mark.parametrize("parts", [[SQUARE], [SQUARE, HOLE], [BOW], [SQUARE, BOW, HOLE], [SQUARE + HOLE]])
def test_parts_and_holes(parts):
    """Parts are united, as pycocotools does; inside one part, a region that is enclosed twice is a hole."""
    rois = np.array([[0, 0, 40, 40], [12, 8, 33, 29]], np.float32)
    found = compiled.polygon_targets(ragged([[], parts]), [1, 1], rois, 40).numpy()
    np.testing.assert_array_equal(found, plain.polygon_targets(ragged([[], parts]), [1, 1], rois, 40).numpy())
    if parts[-1] == HOLE and len(parts) == 2:
        theirs = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, 40, 40)))
        np.testing.assert_array_equal(found[0], theirs)
    assert found[0, 20, 20] == (parts != [SQUARE + HOLE])


@pytest.mark.parametrize("targets", [compiled.polygon_targets, plain.polygon_targets])
def test_odd_polygons_and_rois_give_zeros(targets):
    nan, inf = np.nan, np.inf
    objects = ragged(
        [
            [],
            [[]],
            [[5.0, 5]],
            [[5.0, 5, 30, 30]],
            [[nan, 10, 30, 10, 30, 30]],
            [[10.0, 10, inf, 10, 30, 30]],
            [[10.0, -inf, 30, 10, 30, 30]],
            [[1e6, 1e6, 2e6, 1e6, 2e6, 2e6]],
            [[20.0, 5, 20, 35, 20, 20]],  # no area
        ]
    )
    count = objects.nrows()
    rois = np.tile(np.array([[0, 0, 40, 40]], np.float32), (count, 1))
    assert not targets(objects, tf.range(count, dtype=tf.int32), rois, 28).numpy().any()
    rois = np.array([[nan, 0, 40, 40], [-inf, 0, 40, 40], [20, 20, 20, 20], [3e38, 0, 3.1e38, 9]], np.float32)
    found = targets(ragged([[SQUARE]]), [0] * 4, rois, 28).numpy()
    assert not found[[0, 1, 3]].any() and np.isfinite(found).all()
    # An invalid part does not affect the others.
    both = targets(ragged([[[nan, 1, 2, 3, 4, 5], SQUARE]]), [0], np.array([[0, 0, 40, 40]], np.float32), 40).numpy()
    assert both.sum() == 400


def test_polygons_far_outside_the_roi_cover_it_or_not():
    far = [[[-1e7, -1e7, 1e7, -1e7, 1e7, 1e7, -1e7, 1e7]], [[-3e38, -3e38, 3e38, -3e38, 3e38, 3e38, -3e38, 3e38]]]
    rois = np.array([[0, 0, 40, 40], [3, 4, 3.5, 4.5], [0, 0, 40, 40]], np.float32)
    found = compiled.polygon_targets(ragged(far), [0, 0, 1], rois, 28).numpy()
    np.testing.assert_array_equal(found, plain.polygon_targets(ragged(far), [0, 0, 1], rois, 28).numpy())
    assert found[:2].all()


def test_rois_do_not_depend_on_each_other():
    """All together give the same result as one by one, however they are distributed to threads."""
    rng = np.random.default_rng(9)
    polygons, count = random_polygons(rng, 6), 60
    rles, sizes = rle([random_bitmap(rng) for _ in range(6)])
    objects, rois = rng.integers(0, 6, count).astype(np.int32), random_rois(rng, count)
    for targets in (
        lambda which: compiled.polygon_targets(polygons, objects[which], rois[which], 28),
        lambda which: compiled.rle_targets(rles, objects[which], sizes, rois[which], 28),
    ):
        alone = np.concatenate([targets(slice(i, i + 1)).numpy() for i in range(count)])
        np.testing.assert_array_equal(targets(slice(None)).numpy(), alone)
        assert alone.any()


@pytest.mark.parametrize("seed", range(6))
def test_rle_equals_the_definition(seed):
    """The sums of the twin are off by up to 1e-6; only within that may the compiled operator decide otherwise."""
    rng = np.random.default_rng(seed)
    size, count = int(rng.choice([1, 7, 14, 28])), 12
    bitmaps = [random_bitmap(rng) for _ in range(5)]
    objects, rois = rng.integers(0, 5, count).astype(np.int32), random_rois(rng, count)
    if seed % 3 == 0:
        rois = np.round(rois)
    rles, sizes = rle(bitmaps)
    found = compiled.rle_targets(rles, objects, sizes, rois, size).numpy()
    means = np.stack([bin_means(bitmaps[n], roi, size) for n, roi in zip(objects, rois)])
    clear = np.abs(means - 0.5) > 2e-5  # RoIs are float32
    np.testing.assert_array_equal(found[clear], (means >= 0.5)[clear])
    differs = found != plain.rle_targets(rles, objects, sizes, rois, size).numpy()
    assert not (differs & clear).any() and differs.mean() < 1e-3
    assert found.any() and not found.all() and clear.mean() > 0.5


def test_rle_with_exact_halves_and_holes():
    bitmap = np.zeros((40, 48), np.uint8)
    bitmap[10:30, 12:36] = 1
    bitmap[16:22, 20:28] = 0
    rles, sizes = rle([bitmap, np.ones((3, 2), np.uint8), np.zeros((3, 2), np.uint8)])
    rois = np.array([[0, 0, 48, 40], [12, 10, 36, 30], [0, 0, 2, 3], [0, 0, 2, 3]], np.float32)
    found = compiled.rle_targets(rles, [0, 0, 1, 2], sizes, rois, 4).numpy()
    np.testing.assert_array_equal(found[0], bitmap.reshape(4, 10, 4, 12).mean(axis=(1, 3)) >= 0.5)
    np.testing.assert_array_equal(found[1], bitmap[10:30, 12:36].reshape(4, 5, 4, 6).mean(axis=(1, 3)) >= 0.5)
    assert found[2].all() and not found[3].any()


@pytest.mark.parametrize("targets", [compiled.rle_targets, plain.rle_targets])
def test_odd_rles_and_rois_give_zeros(targets):
    nan, inf = np.nan, np.inf
    rles = tf.ragged.constant([[], [0], [0, 100], [0, 0, 0, 50, 0, 50]], dtype=tf.int32, ragged_rank=1)
    sizes = np.array([[10, 10], [0, 7], [10, 10], [10, 10]], np.int32)
    bad = [[nan, 0, 5, 5], [0, 0, inf, 5], [-3e38, 0, 3e38, 5], [5, 5, 5, 9], [9, 9, 5, 5], [100, 0, 120, 9]]
    rois = np.array([[0, 0, 10, 10], [0, 0, 10, 10], *bad, [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    found = targets(rles, [0, 1, *[2] * len(bad), 2, 3], sizes, rois, 5).numpy()
    assert not found[:-2].any()
    assert found[-1].all() and found[-2].all()  # runs of no pixels are none


def test_huge_bitmaps_are_never_decoded():
    """More pixels than an int32 counts, a RoI over half of them, and one larger still."""
    height, width = 50_000, 60_000
    # Left half zeros; one column with a run of 10000; the rest ones.
    runs = [width // 2 * height + 20_000, 10_000, 20_000, (width // 2 - 1) * height]
    assert sum(runs) == height * width > 2**31
    rles = tf.ragged.constant([runs], dtype=tf.int32, ragged_rank=1)
    x = width / 2
    rois = np.array([[x, 18_000, x + 1, 32_000], [x, 0, x + 30_000, 50_000], [-1e9, -1e9, 1e9, 1e9]], np.float32)
    found = compiled.rle_targets(rles, [0, 0, 0], np.array([[height, width]], np.int32), rois, 7).numpy()
    # Rows 18000, 20000, …: the second to the sixth bin lie in the run, in the right half all is one.
    np.testing.assert_array_equal(found[0], np.repeat(np.float32([0, 1, 1, 1, 1, 1, 0])[:, np.newaxis], 7, axis=1))
    assert found[1].all()


@pytest.mark.parametrize("name", ["polygons", "rles"])
def test_no_rois_no_objects_and_unknown_shapes(name):
    polygons, (rles, sizes) = ragged([[SQUARE]]), rle([np.ones((30, 40), np.uint8)])

    def targets_of(masks, objects, sizes, rois):
        if name == "polygons":
            targets = compiled.polygon_targets(masks, objects, rois, 28)
        else:
            targets = compiled.rle_targets(masks, objects, sizes, rois, 28)
        assert targets.shape.as_list() == [rois.shape[0], 28, 28]
        return targets

    masks = polygons if name == "polygons" else rles
    unknown = tf.function(targets_of).get_concrete_function(
        tf.RaggedTensorSpec([None] * masks.shape.rank, masks.dtype, masks.ragged_rank),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, 2], tf.int32),
        tf.TensorSpec([None, 4], tf.float32),
    )
    assert tf.function(targets_of)(masks, tf.zeros([5], tf.int32), sizes, tf.ones([5, 4])).shape == (5, 28, 28)
    assert unknown(masks, tf.zeros([0], tf.int32), tf.constant(sizes), tf.zeros([0, 4])).shape == (0, 28, 28)
    none = masks[:0]
    assert unknown(none, tf.zeros([0], tf.int32), tf.zeros([0, 2], tf.int32), tf.zeros([0, 4])).shape == (0, 28, 28)


def test_wrong_arguments_are_named():
    polygons, (rles, sizes) = ragged([[SQUARE]]), rle([np.ones((30, 40), np.uint8)])
    roi = np.array([[0, 0, 9, 9]], np.float32)
    refused = tf.errors.InvalidArgumentError
    with pytest.raises(refused, match=r"object_index\[0\] is 1, but there are 1 objects"):
        compiled.polygon_targets(polygons, [1], roi, 28)
    with pytest.raises(refused, match=r"object_index\[0\] is -1"):
        compiled.rle_targets(rles, [-1], sizes, roi, 28)
    with pytest.raises(refused, match=r"rois must be \[2, 4\].*got shape \[1,4\]"):
        compiled.polygon_targets(polygons, [0, 0], roi, 28)
    with pytest.raises(refused, match="part 1 has 5 numbers"):
        compiled.polygon_targets(ragged([[SQUARE, [1, 2, 3, 4, 5]]]), [0], roi, 28)
    with pytest.raises(refused, match=r"runs of object 0 sum to 1200, but its image_size 30 x 41 has 1230 pixels"):
        compiled.rle_targets(rles, [0], [[30, 41]], roi, 28)
    with pytest.raises(refused, match="run length is negative"):
        compiled.rle_targets(tf.ragged.constant([[-5, 1205]], dtype=tf.int32), [0], sizes, roi, 28)
    with pytest.raises(refused, match=r"image_size\[0\] is -30 x -40"):
        compiled.rle_targets(rles, [0], -sizes, roi, 28)
    with pytest.raises(refused, match=r"image_size must be \[1, 2\]"):
        compiled.rle_targets(rles, [0], [[30, 40], [30, 40]], roi, 28)
    with pytest.raises(refused, match=r"image_size\[0\] is 30 x 16777217; its sides are at most 16777216"):
        compiled.rle_targets(rles, [0], [[30, 2**24 + 1]], roi, 28)
    for size in (0, 10**10):  # the latter has more pixels than can be counted
        with pytest.raises(refused):
            compiled.polygon_targets(polygons, [0], roi, size)
    broken = tf.RaggedTensor.from_row_splits(tf.zeros([6]), [0, 4, 9], validate=False)
    with pytest.raises(refused, match="part_splits must rise from 0 to 6"):
        compiled.polygon_targets(tf.RaggedTensor.from_row_splits(broken, [0, 2]), [0], roi, 28)


def test_no_gradient_is_asked_for():
    rois = tf.Variable([[0.0, 0, 9, 9]])
    with tf.GradientTape() as tape:
        targets = compiled.polygon_targets(ragged([[SQUARE]]), [0], rois, 28)
    assert tape.gradient(targets, rois) is None
