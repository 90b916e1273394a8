"""The compiled place_annotations against its twin in TensorFlow, whose parts have their own tests."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.data.coco.annotations import run_lengths
from awsdet.ops import annotations as compiled
from awsdet.ops.reference import annotations as plain

HEIGHT, WIDTH = 23, 31


def ints(values):
    return tf.constant(np.asarray(values, np.int64).reshape(-1))


def doubles(values):
    return tf.constant(np.asarray(values, "<f8").tobytes())


def record(rng, objects, crowds, others=2, size=(HEIGHT, WIDTH)):
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


def batch_of_one(module, stored, old_size, new_size, flip, rows):
    return module.place_annotations([stored], old_size=[old_size], new_size=[new_size], flip=[flip], rows=rows)


def flat(annotations):
    return tf.nest.flatten(annotations, expand_composites=True)


def assert_equal(found, expected):
    for one, other in zip(flat(found), flat(expected)):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def assert_same(stored, **where):
    """Of one image: the operator's result, without the axis B, after comparing it with the twin's."""
    found, expected = (batch_of_one(module, stored, **where) for module in (compiled, plain))
    assert_equal(found, expected)
    return type(found)(*(value[0] for value in found))


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_twin_in_every_bit(seed):
    rng = np.random.default_rng(seed)
    for new_size in ((HEIGHT, WIDTH), (40, 57), (9, 12), (1, 1), (97, 5)):
        objects, crowds = (int(count) for count in rng.integers(0, 7, 2))
        stored = record(rng, objects, crowds)
        rows = objects + crowds + int(rng.integers(0, 4))
        where = {"old_size": [HEIGHT, WIDTH], "new_size": new_size, "flip": bool(rng.integers(2)), "rows": rows}
        found = assert_same(stored, **where)
        assert found.polygons.shape[0] == found.rles.shape[0] == objects + crowds
        lengths = tf.reduce_sum(found.rles, axis=1).numpy()
        assert set(lengths) <= {0, new_size[0] * new_size[1]} and not lengths[objects:].any()


def test_hundreds_of_objects_and_none():
    rng = np.random.default_rng(10)
    where = {"old_size": [HEIGHT, WIDTH], "new_size": [64, 86], "flip": True}
    found = assert_same(record(rng, 400, 30), rows=430, **where)
    assert found.polygons.flat_values.shape[0] > 1000 and found.rles.flat_values.shape[0] > 1000
    empty = assert_same(record(rng, 0, 0, others=0), rows=1, **where)
    assert empty.classes.numpy().tolist() == [-1] and empty.polygons.to_list() == [] == empty.rles.to_list()


@pytest.mark.parametrize("counts", [[12], [0, 12], [0, 5, 0, 3, 4], [5, 0, 0, 7, 0], [4, 3, 0, 0, 5]], ids=str)
@pytest.mark.parametrize("new_size", [(3, 4), (7, 6)])
def test_runs_of_no_length(counts, new_size):
    stored = record(np.random.default_rng(0), 0, 0, others=1, size=(3, 4))
    stored.update(trainable=tf.constant(1, tf.int64), is_crowd=ints([0]))
    stored.update(rle_runs=ints([len(counts)]), rle_counts=ints(counts))
    assert_same(stored, old_size=[3, 4], new_size=new_size, flip=False, rows=1)


def test_wrong_arguments_are_named():
    good = record(np.random.default_rng(1), 5, 1)
    good["rle_runs"], good["rle_counts"] = ints([2, 0, 0, 0, 0, 0]), ints([3, HEIGHT * WIDTH - 3])
    good["polygon_parts"], good["polygon_lengths"] = ints([0, 1, 1, 0, 0, 0]), ints([6, 8])
    good["polygon_numbers"] = doubles(range(14))
    where = {"old_size": [HEIGHT, WIDTH], "new_size": [40, 50], "flip": False, "rows": 6}
    assert_same(good, **where)
    for changes, message in [
        ({"trainable": tf.constant(-1, tf.int64)}, "trainable must be 0 at least, got -1"),
        ({"trainable": tf.constant(60, tf.int64)}, "rows is 6, which is less than trainable, 60"),
        ({"classes": ints([1])}, "classes has 1 rows, trainable is 6"),
        ({"is_crowd": ints([[0]])}, "is_crowd has 1 rows"),
        ({"boxes": doubles(np.zeros(23))}, "boxes has 5 rows, trainable is 6"),
        ({"polygon_parts": ints([0, -1, 0, 0, 0, 0])}, r"polygon_parts\[1\] is -1"),
        ({"polygon_parts": ints([0, 3, 0, 0, 0, 0])}, r"polygon_parts\[1\] is 3, where 2 entries are left"),
        ({"polygon_lengths": ints([6, 2**62])}, r"polygon_lengths\[1\] is 4611686018427387904, where 8 entries"),
        ({"polygon_lengths": ints([6, 7])}, "polygon_lengths add up to 13"),
        ({"rle_runs": ints([3, 0, 0, 0, 0, 0])}, r"rle_runs\[0\] is 3, where 2 entries are left"),
        ({"rle_counts": ints([HEIGHT * WIDTH + 1, 0])}, "rle_counts of row 0 do not fit an image of 23 x 31"),
        ({"rle_counts": ints([5, -5])}, "rle_counts of row 0 do not fit"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            batch_of_one(compiled, {**good, **changes}, **where)
    for name in ("old_size", "new_size"):
        for size, message in [([0, 5], "1 at least, got 0"), ([5, -1], "1 at least, got -1"), ([5], r"shape \[1,2\]")]:
            with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must .*{message}"):
                batch_of_one(compiled, good, **{**where, name: size})
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"flip must have the shape \[1\], got \[1,1\]"):
        batch_of_one(compiled, good, **{**where, "flip": [True]})


@pytest.mark.parametrize("counts", [(3, 0, 7), (0, 0), (0, 400, 1, 0)], ids=str)
def test_a_batch_is_its_images_one_by_one(counts):
    rng = np.random.default_rng(7)
    old_size = rng.integers(5, 40, (len(counts), 2)).astype(np.int32)
    new_size = rng.integers(1, 60, (len(counts), 2)).astype(np.int32)
    stored = [record(rng, count, count // 3, size=tuple(size)) for count, size in zip(counts, old_size)]
    where = {"old_size": old_size, "new_size": new_size, "flip": rng.random(len(counts)) < 0.5, "rows": 533}
    found = compiled.place_annotations(stored, **where)
    assert_equal(found, plain.place_annotations(stored, **where))
    assert found.boxes.shape == (len(counts), 533, 4)
    real = [count + count // 3 for count in counts]
    assert found.polygons.row_lengths().numpy().tolist() == real == found.rles.row_lengths().numpy().tolist()
    for i in range(len(counts)):
        alone = batch_of_one(
            compiled, stored[i], **{name: where[name][i] for name in where if name != "rows"}, rows=533
        )
        for one, other in zip(found, alone):
            np.testing.assert_array_equal(np.hstack(flat(one[i])[:1]), np.hstack(flat(other[0])[:1]))


def test_the_record_at_fault_is_found_among_good_ones():
    good, bad = (record(np.random.default_rng(seed), 4, 1) for seed in (1, 2))
    bad["classes"] = ints([1])
    where = {"old_size": [[HEIGHT, WIDTH]] * 3, "new_size": [[9, 9]] * 3, "flip": [False] * 3, "rows": 5}
    with pytest.raises(tf.errors.InvalidArgumentError, match="classes has 1 rows, trainable is 5"):
        compiled.place_annotations([good, good, bad], **where)
