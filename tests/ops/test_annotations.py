"""The compiled place_annotations against its twin in TensorFlow, whose parts have their own tests."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.coco.masks import run_lengths
from awsdet.ops import annotations as compiled
from awsdet.ops.placement import Placement
from awsdet.ops.reference import annotations as plain
from tests.ops import fuzz

HEIGHT, WIDTH = 23, 31


def ints(values):
    return tf.constant(np.asarray(values, np.int64).reshape(-1))


def doubles(values):
    return tf.constant(np.asarray(values, "<f8").tobytes())


def random_record(rng, objects, crowds, others=2, size=(HEIGHT, WIDTH)):
    """A record's lists: objects with polygons, runs or no mask, then crowds with runs, then rows to leave out."""
    total = objects + crowds + others
    parts, lengths, runs, counts = [], [], [], []
    for row in range(total):
        kind = 1 if row >= objects else rng.integers(3)
        parts.append(int(rng.integers(1, 4)) if kind == 0 else 0)
        lengths += (2 * rng.integers(3, 9, parts[-1])).tolist()
        mask = run_lengths(rng.random(size) < rng.random()) if kind == 1 else []
        runs.append(len(mask))
        counts += mask
    corner = rng.uniform(-9, 30, (total, 2))
    return {
        "trainable": tf.constant(objects + crowds, tf.int64),
        "classes": ints(rng.integers(0, 80, total)),
        "is_crowd": ints(np.arange(total) >= objects),
        "boxes": doubles(np.concatenate([corner, rng.uniform(1, 40, (total, 2))], axis=1)),
        "polygon_parts": ints(parts),
        "polygon_lengths": ints(lengths),
        "polygon_numbers": doubles(rng.uniform(-5, 40, sum(lengths))),
        "rle_runs": ints(runs),
        "rle_counts": ints(counts),
    }


def placement_of(size, flip=False, corner=(0, 0), window=None):
    """The Placement of one image."""
    return Placement([size], [corner], [window or size], [flip])


def batch_of_one(module, stored, size, placement, rows, **rules):
    return module.place_annotations([stored], original_size=[size], placement=placement, rows=rows, **rules)


def flat(annotations):
    return tf.nest.flatten(annotations, expand_composites=True)


def assert_equal(found, expected):
    for one, other in zip(flat(found), flat(expected)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def assert_equals_twin(stored, **where):
    """Compares the operator with its twin on one image. Returns the result without the axis B."""
    found, expected = (batch_of_one(module, stored, **where) for module in (compiled, plain))
    assert_equal(found, expected)
    return type(found)(*(value[0] for value in found))


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_twin_in_every_bit(seed):
    rng = np.random.default_rng(seed)
    for new_size in ((HEIGHT, WIDTH), (40, 57), (9, 12), (1, 1), (97, 5)):
        objects, crowds = (int(count) for count in rng.integers(0, 7, 2))
        stored = random_record(rng, objects, crowds)
        rows = objects + crowds + int(rng.integers(0, 4))
        placement = placement_of(new_size, bool(rng.integers(2)))
        found = assert_equals_twin(stored, size=[HEIGHT, WIDTH], placement=placement, rows=rows)
        assert found.polygons.shape[0] == found.rles.shape[0] == objects + crowds
        lengths = tf.reduce_sum(found.rles, axis=1).numpy()
        assert set(lengths) <= {0, new_size[0] * new_size[1]} and not lengths[objects:].any()


def test_hundreds_of_objects_and_none():
    rng = np.random.default_rng(10)
    where = {"size": [HEIGHT, WIDTH], "placement": placement_of([64, 86], True)}
    found = assert_equals_twin(random_record(rng, 400, 30), rows=430, **where)
    assert found.polygons.flat_values.shape[0] > 1000 and found.rles.flat_values.shape[0] > 1000
    empty = assert_equals_twin(random_record(rng, 0, 0, others=0), rows=1, **where)
    assert empty.classes.numpy().tolist() == [-1] and empty.polygons.to_list() == [] == empty.rles.to_list()


@pytest.mark.parametrize("counts", [[12], [0, 12], [0, 5, 0, 3, 4], [5, 0, 0, 7, 0], [4, 3, 0, 0, 5]], ids=str)
@pytest.mark.parametrize("new_size", [(3, 4), (7, 6)])
def test_runs_of_no_length(counts, new_size):
    stored = random_record(np.random.default_rng(0), 0, 0, others=1, size=(3, 4))
    stored.update(trainable=tf.constant(1, tf.int64), is_crowd=ints([0]))
    stored.update(rle_runs=ints([len(counts)]), rle_counts=ints(counts))
    assert_equals_twin(stored, size=[3, 4], placement=placement_of(new_size), rows=1)


def test_wrong_arguments_are_named():
    good = random_record(np.random.default_rng(1), 5, 1)
    good["rle_runs"], good["rle_counts"] = ints([2, 0, 0, 0, 0, 0]), ints([3, HEIGHT * WIDTH - 3])
    good["polygon_parts"], good["polygon_lengths"] = ints([0, 1, 1, 0, 0, 0]), ints([6, 8])
    good["polygon_numbers"] = doubles(range(14))
    where = {"size": [HEIGHT, WIDTH], "placement": placement_of([40, 50]), "rows": 6}
    assert_equals_twin(good, **where)
    for changes, message in [
        ({"trainable": tf.constant(-1, tf.int64)}, "trainable must be 0 at least, got -1"),
        ({"trainable": tf.constant(60, tf.int64)}, "rows is 6, which is less than trainable, 60"),
        ({"classes": ints([1])}, "classes has 1 rows, trainable is 6"),
        ({"is_crowd": ints([[0]])}, "is_crowd has 1 rows"),
        ({"boxes": doubles(np.zeros(23))}, "boxes has 5 rows, trainable is 6"),
        ({"polygon_parts": ints([0, -1, 0, 0, 0, 0])}, r"polygon_parts\[1\] is -1"),
        ({"polygon_parts": ints([0, 3, 0, 0, 0, 0])}, r"polygon_parts\[1\] is 3, but 2 entries are left"),
        ({"polygon_lengths": ints([6, 2**62])}, r"polygon_lengths\[1\] is 4611686018427387904, but 8 entries"),
        ({"polygon_lengths": ints([6, 7])}, r"polygon_lengths\[1\] is 7, which is not even"),
        ({"polygon_lengths": ints([5, 7])}, r"polygon_lengths\[0\] is 5, which is not even"),
        ({"classes": ints([0, 1, -1, 2, 0, 0])}, r"classes\[2\] is -1"),
        ({"classes": ints([0, 1, 2**32, 2, 0, 0])}, r"classes\[2\] is 4294967296"),
        ({"rle_runs": ints([3, 0, 0, 0, 0, 0])}, r"rle_runs\[0\] is 3, but 2 entries are left"),
        ({"rle_counts": ints([HEIGHT * WIDTH + 1, 0])}, "rle_counts of row 0 do not fit an image of 23 x 31"),
        ({"rle_counts": ints([5, -5])}, "rle_counts of row 0 do not fit"),
        ({"rle_counts": ints([2**63 - 1, 2**63 - 1])}, "rle_counts of row 0 do not fit"),
        *[
            ({name: doubles([*range(count - 1), number])}, f"{name} has numbers")
            for name, count in (("boxes", 24), ("polygon_numbers", 14))
            for number in (np.nan, np.inf, -np.inf, 1.1e9, -1e308)
        ],
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            batch_of_one(compiled, {**good, **changes}, **where)
    for size, message in [([0, 5], "1 at least, got 0"), ([5, -1], "1 at least, got -1"), ([5], r"shape \[1,1\]")]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"original_size must .*{message}"):
            batch_of_one(compiled, good, **{**where, "size": size})
    for placement, message in [
        (placement_of([0, 5]), "size must be 1 x 1 at least"),
        (placement_of([9, 9], window=[0, 5]), "window must be 1 x 1 at least"),
        (placement_of([9, 9], corner=[5, 0], window=[5, 9]), r"window 5 x 9 at corner \(5, 0\) does not lie"),
        (placement_of([9, 9], flip=[True]), r"flip must be \[1\], got shape \[1,1\]"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            batch_of_one(compiled, good, **{**where, "placement": placement})


WILD_INTS = [-(2**63), -1, 0, 1, 2, 7, 2**31, 2**32, 2**62, 2**63 - 1]
WILD_DOUBLES = [np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 1e9, -1e9, 5e-324, 0.0]


def mutilated(rng, stored):
    """A record's lists, one to three of which have a wild number, are cut or are too long."""
    stored = dict(stored)
    for name in rng.choice(sorted(stored), rng.integers(1, 4), replace=False):
        text = stored[name].dtype == tf.string
        numbers = np.frombuffer(stored[name].numpy(), "<f8") if text else np.atleast_1d(stored[name])
        numbers = numbers[: rng.integers(len(numbers) + 1) if rng.random() < 0.2 else None].copy()
        if len(numbers):
            numbers[rng.integers(len(numbers))] = rng.choice(WILD_DOUBLES if text else WILD_INTS)
        if rng.random() < 0.1:
            numbers = np.concatenate([numbers, numbers])
        stored[name] = doubles(numbers) if text else ints(numbers)
        if name == "trainable":
            stored[name] = tf.constant(numbers[0] if len(numbers) else 0, tf.int64)
        elif text and rng.random() < 0.2:
            stored[name] = tf.constant(stored[name].numpy()[: -int(rng.integers(1, 9))])
    return stored


def test_mutilated_records_end_as_errors_or_as_sound_batches():
    """As files of other tools may be; AWSDET_FUZZ_CASES sets how many are tried."""
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(max(fuzz.CASES // 5, 1)):
        stored = mutilated(rng, random_record(rng, int(rng.integers(0, 6)), int(rng.integers(0, 3))))
        size = [int(side) for side in rng.integers(1, 50, 2)]
        window = [int(rng.integers(1, side + 1)) for side in size]
        try:
            found = batch_of_one(compiled, stored, [HEIGHT, WIDTH], placement_of(size, window=window), rows=16)
        except tf.errors.InvalidArgumentError:
            refused += 1
            continue
        assert np.isfinite(found.boxes).all() and np.isfinite(found.polygons.flat_values).all()
        assert (found.classes.numpy() >= -1).all() and (found.rles.flat_values.numpy() >= 0).all()
        totals = set(tf.reduce_sum(found.rles, axis=2).to_tensor().numpy().ravel().tolist())
        assert totals <= {0, window[0] * window[1]}
    assert 0 < refused < fuzz.CASES // 5 or fuzz.CASES < 50


@pytest.mark.parametrize("counts", [(3, 0, 7), (0, 0), (0, 400, 1, 0)], ids=str)
def test_a_batch_is_its_images_one_by_one(counts):
    rng = np.random.default_rng(7)
    old_size = rng.integers(5, 40, (len(counts), 2)).astype(np.int32)
    new_size = rng.integers(1, 60, (len(counts), 2)).astype(np.int32)
    stored = [random_record(rng, count, count // 3, size=tuple(size)) for count, size in zip(counts, old_size)]
    placement = Placement(new_size, np.zeros_like(new_size), new_size, rng.random(len(counts)) < 0.5)
    where = {"original_size": old_size, "placement": placement, "rows": 533}
    found = compiled.place_annotations(stored, **where)
    assert_equal(found, plain.place_annotations(stored, **where))
    assert found.boxes.shape == (len(counts), 533, 4)
    real = [count + count // 3 for count in counts]
    assert found.polygons.row_lengths().numpy().tolist() == real == found.rles.row_lengths().numpy().tolist()
    for i in range(len(counts)):
        own = Placement(*(part[i : i + 1] for part in placement))
        alone = batch_of_one(compiled, stored[i], old_size[i], own, rows=533)
        for one, other in zip(found, alone):
            np.testing.assert_array_equal(np.hstack(flat(one[i])[:1]), np.hstack(flat(other[0])[:1]))


def test_the_record_at_fault_is_found_among_good_ones():
    good, bad = (random_record(np.random.default_rng(seed), 4, 1) for seed in (1, 2))
    bad["classes"] = ints([1])
    placement = Placement([[9, 9]] * 3, [[0, 0]] * 3, [[9, 9]] * 3, [False] * 3)
    where = {"original_size": [[HEIGHT, WIDTH]] * 3, "placement": placement, "rows": 5}
    with pytest.raises(tf.errors.InvalidArgumentError, match="classes has 1 rows, trainable is 5"):
        compiled.place_annotations([good, good, bad], **where)


@pytest.mark.parametrize("seed", range(8))
def test_windows_equal_the_twin_in_every_bit(seed):
    """Random windows, from a pixel to the whole image, with every share of visibility."""
    rng = np.random.default_rng(100 + seed)
    dropped = 0
    for _ in range(8):
        objects, crowds = (int(count) for count in rng.integers(0, 9, 2))
        stored, rows = random_record(rng, objects, crowds), objects + crowds + int(rng.integers(0, 4))
        size = [int(side) for side in np.exp(rng.uniform(0, np.log(120), 2))]
        window = [int(rng.integers(1, side + 1)) for side in size]
        corner = [int(rng.integers(0, side - part + 1)) for side, part in zip(size, window)]
        placement = placement_of(size, bool(rng.integers(2)), corner, window)
        share = float(rng.choice([0.0, 0.3, 1.0]))
        rules = {"min_visible": share, "boxes_from_masks": bool(rng.integers(2))}
        found = assert_equals_twin(stored, size=[HEIGHT, WIDTH], placement=placement, rows=rows, **rules)
        real = int((found.classes.numpy() >= 0).sum())
        assert (found.classes[:real].numpy() >= 0).all() and not found.boxes[real:].numpy().any()
        assert found.polygons.shape[0] == found.rles.shape[0] == real
        assert set(tf.reduce_sum(found.rles, axis=1).numpy()) <= {0, window[0] * window[1]}
        dropped += objects + crowds - real
    assert dropped > 0


def rows_of(boxes, polygons=None, masks=None, crowds=()):
    """A record's lists, from x, y, width, height of each row, its parts, and its mask; image of HEIGHT x WIDTH."""
    parts = polygons or [[]] * len(boxes)
    runs = [run_lengths(mask) if mask is not None else [] for mask in masks or [None] * len(boxes)]
    return {
        "trainable": tf.constant(len(boxes), tf.int64),
        "classes": ints(range(len(boxes))),
        "is_crowd": ints([row in crowds for row in range(len(boxes))]),
        "boxes": doubles(boxes),
        "polygon_parts": ints([len(row) for row in parts]),
        "polygon_lengths": ints([len(part) for row in parts for part in row]),
        "polygon_numbers": doubles([number for row in parts for part in row for number in part]),
        "rle_runs": ints([len(row) for row in runs]),
        "rle_counts": ints([count for row in runs for count in row]),
    }


def classes_left(stored, corner, window, min_visible=0.0):
    placement = placement_of([HEIGHT, WIDTH], False, corner, window)
    found = assert_equals_twin(
        stored, size=[HEIGHT, WIDTH], placement=placement, rows=len(stored["classes"]), min_visible=min_visible
    )
    return [label for label in found.classes.numpy().tolist() if label >= 0]


def test_which_objects_are_dropped():
    """Drops rows cut to less than a pixel, or to less than the share; never uncut rows, nor crowds for their share."""
    boxes = [[0, 0, 10.5, 9], [0, 0, 11, 9], [0, 0, 20, 9], [12, 3, 0.5, 0.5], [25, 3, 9, 9], [0, 0, 20, 9]]
    stored = rows_of(boxes, crowds=(5,))
    assert classes_left(stored, [0, 10], [HEIGHT, 10]) == [1, 2, 3, 5]
    assert classes_left(stored, [0, 10], [HEIGHT, 10], 0.4) == [2, 3, 5]
    assert classes_left(stored, [0, 10], [HEIGHT, 10], 0.6) == [3, 5]
    assert classes_left(stored, [0, 0], [HEIGHT, WIDTH], 1.0) == [0, 1, 2, 3, 4, 5]


def test_objects_whose_mask_is_cut_away_are_dropped():
    """A row whose box reaches into the window, but whose mask does not."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:9, 3:9] = True
    triangle = [0, 0, 9, 0, 0, 9]
    boxes = [[0, 0, 20, 9]] * 5
    polygons = [[triangle], [], [triangle, [12, 0, 15, 0, 12, 9]], [], []]
    stored = rows_of(boxes, polygons, [None, mask, None, np.ones_like(mask), None])
    assert classes_left(stored, [0, 10], [HEIGHT, 10]) == [2, 3, 4]  # the last never had a mask


def test_boxes_from_masks_are_those_of_the_pixels_that_are_left():
    """Of a mask and of polygons that are cut; not of what is not cut, nor of what has no mask."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:9, 3:9], mask[5:7, 9:13] = True, True
    low, far = [4, 15, 16, 15, 16, 20.6, 4, 20.6], [20, 1, 22.5, 1, 22.5, 3, 20, 3]
    thin = [0, 10, 12, 10, 12, 10.2, 0, 10.2]  # holds no pixel's centre
    ell = [5, 0, 15, 0, 15, 4, 9, 4, 9, 12, 5, 12]  # its foot is left of the window, as is half of its top
    boxes = [[3, 2, 10, 7], [4, 15, 12, 5.6], [20, 1, 2.5, 2], [0, 10, 12, 0.9], [5, 3, 10, 15], [0, 10, 12, 2]]
    boxes.append([5, 0, 10, 12])
    polygons = [[], [low], [far], [], [], [thin], [ell]]
    stored = rows_of(boxes, polygons, [mask, *[None] * 6], crowds=(4,))
    where = {"size": [HEIGHT, WIDTH], "placement": placement_of([HEIGHT, WIDTH], False, [0, 10], [HEIGHT, 15])}
    found = assert_equals_twin(stored, rows=7, boxes_from_masks=True, **where)
    assert found.classes.numpy().tolist() == [0, 1, 2, 4, 6, -1, -1]  # 3 is less than a pixel high; 5 has no pixel
    expected = [[0, 5, 3, 7], [0, 15, 6, 21], [10, 1, 12.5, 3], [0, 3, 5, 18], [0, 0, 5, 4]]
    assert found.boxes.numpy()[:5].tolist() == expected
    assert assert_equals_twin(stored, rows=7, **where).classes.numpy().tolist() == [0, 1, 2, 4, 5, 6, -1]


def test_hundreds_of_objects_in_a_window_and_none_left():
    rng = np.random.default_rng(12)
    stored, size = random_record(rng, 300, 30), {"size": [HEIGHT, WIDTH]}
    some = assert_equals_twin(stored, placement=placement_of([64, 86], True, [20, 30], [20, 20]), rows=330, **size)
    assert 20 < int((some.classes.numpy() >= 0).sum()) < 330
    far = rows_of([[0, 0, 5, 5]] * 3)
    none = assert_equals_twin(far, placement=placement_of([64, 86], False, [40, 40], [24, 46]), rows=3, **size)
    assert none.classes.numpy().tolist() == [-1] * 3 and none.polygons.to_list() == [] == none.rles.to_list()
