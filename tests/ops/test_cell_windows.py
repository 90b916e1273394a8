"""The compiled 3x3 windows, forward and gradient, against their plain twin and sums in float64."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.cell_windows import cell_windows
from awsdet.ops.reference import cell_windows as plain
from tests.ops import fuzz, threads

DTYPES = pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)


def windows_and_gradient(operator, pyramid, index, per_cell, weights):
    """Windows, choices, and the gradient of each level for `weights` [B, S, 9, C], as arrays; float32 for 16 bits."""
    with tf.GradientTape() as tape:
        tape.watch(pyramid)
        windows, chosen = operator(pyramid, index, per_cell)
    gradients = tape.gradient(windows, pyramid, weights)
    return [tf.cast(tf.convert_to_tensor(part), tf.float32).numpy() for part in (windows, *gradients)], chosen.numpy()


def random_case(seed, dtype=tf.float32):
    """A pyramid with levels of any size from 1x1 on, anchors that often coincide, and weights of the windows.

    The weights are whole numbers of which float16 and bfloat16 hold all sums, if `seed` is even.
    """
    random = np.random.default_rng(seed)
    batch, channels, per_cell = random.integers(0, 4), random.choice([1, 3, 8, 17]), int(random.integers(1, 5))
    sizes = [tuple(random.choice([1, 1, 2, 3, 5, 11], 2)) for _ in range(random.integers(1, 9))]
    pyramid = [tf.constant(random.normal(size=(batch, h, w, channels)), dtype) for h, w in sizes]
    anchors, samples = per_cell * sum(h * w for h, w in sizes), random.choice([0, 1, 2, 7, 60])
    some = random.integers(0, anchors, random.integers(1, 30))  # few cells, so that windows overlap
    index = (
        random.choice(some, (batch, samples)) if random.integers(2) else random.integers(0, anchors, (batch, samples))
    )
    shape = (batch, samples, 9, channels)
    weights = random.integers(-2, 3, shape) if seed % 2 == 0 else random.normal(size=shape)
    return pyramid, tf.constant(index, tf.int32), per_cell, tf.constant(weights, dtype)


def gradient_in_float64(pyramid, index, per_cell, weights):
    """The gradient of each level, from the definition: each window adds its 3x3 cells, those within the level."""
    sums = [np.zeros(features.shape) for features in pyramid]
    weights = tf.cast(weights, tf.float64).numpy()
    for image, sample in np.ndindex(*index.shape):
        cell, level = int(index[image, sample]) // per_cell, 0
        while cell >= (size := sums[level].shape[1] * sums[level].shape[2]):
            cell, level = cell - size, level + 1
        height, width = sums[level].shape[1:3]
        for k, (dy, dx) in enumerate(np.ndindex(3, 3)):
            row, column = cell // width + dy - 1, cell % width + dx - 1
            if 0 <= row < height and 0 <= column < width:
                sums[level][image, row, column] += weights[image, sample, k]
    return sums


@DTYPES
@pytest.mark.parametrize("seed", range(24))
def test_equals_the_twin(seed, dtype):
    case = random_case(2 * seed, dtype)  # even: all sums are exact, so their order does not matter
    (ours, chosen), (theirs, expected) = (windows_and_gradient(f, *case) for f in (cell_windows, plain.cell_windows))
    np.testing.assert_array_equal(chosen, expected)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


@DTYPES
@pytest.mark.parametrize("seed", range(101, 125, 2))
def test_gradients_are_sums_in_float32_rounded_once(seed, dtype):
    pyramid, index, per_cell, weights = random_case(seed, dtype)
    (_, *ours), _ = windows_and_gradient(cell_windows, pyramid, index, per_cell, weights)
    exact = gradient_in_float64(pyramid, index, per_cell, weights)
    step = {tf.float32: 0, tf.float16: 2.0**-11, tf.bfloat16: 2.0**-8}[dtype]
    for mine, other in zip(ours, exact, strict=True):
        # A sum of up to 60 numbers, whose float32 additions each round.
        assert np.all(np.abs(mine - other) <= step * np.abs(other) + 60 * 2.0**-24 * 60)


@DTYPES
def test_many_small_parts_are_not_lost(dtype):
    """4,096 samples of one cell: their sum in float16 or bfloat16 would end at 2,048 or 256."""
    features, index = [tf.zeros([1, 1, 1, 2], dtype)], tf.zeros([1, 4096], tf.int32)
    (_, gradient), _ = windows_and_gradient(cell_windows, features, index, 1, tf.ones([1, 4096, 9, 2], dtype))
    np.testing.assert_array_equal(gradient, 4096.0)


def test_a_window_holds_the_neighbours_of_its_cell():
    level = tf.reshape(tf.range(1.0, 13.0), [1, 3, 4, 1])
    windows, chosen = cell_windows([tf.zeros([1, 1, 1, 1]), level], tf.constant([[2, 2 + 2 * 5 + 1]]), 2)
    np.testing.assert_array_equal(windows[0, :, :, 0], [[0, 0, 0, 0, 1, 2, 0, 5, 6], [1, 2, 3, 5, 6, 7, 9, 10, 11]])
    np.testing.assert_array_equal(chosen, [[[True, False], [False, True]]])


def test_an_anchor_has_no_neighbours_in_other_images():
    """The last cell of an image and the first one of the next lie side by side in memory."""
    level = tf.stack([tf.fill([2, 2, 1], 1.0), tf.fill([2, 2, 1], 10.0)])
    windows, _ = cell_windows([level], tf.constant([[3], [0]]), 1)
    np.testing.assert_array_equal(tf.reduce_sum(windows, axis=[1, 2, 3]), [4.0, 40.0])


GOOD = {
    "pyramid": [np.zeros((2, 4, 5, 3), np.float32), np.zeros((2, 2, 3, 3), np.float32)],
    "anchor_index": np.zeros((2, 6), np.int32),
    "anchors_per_cell": 3,
}
LAST = 3 * (4 * 5 + 2 * 3) - 1
MISTAKES = {
    "index too large": (
        {"anchor_index": np.array([[0, LAST], [0, LAST + 1]], np.int32)},
        rf"anchor_index\[1, 1\] is {LAST + 1}, but an image has the anchors 0 to {LAST}",
    ),
    "index negative": ({"anchor_index": np.array([[0], [-1]], np.int32)}, r"anchor_index\[1, 0\] is -1"),
    "index rank": ({"anchor_index": np.zeros(2, np.int32)}, "anchor_index must be"),
    "index images": ({"anchor_index": np.zeros((3, 6), np.int32)}, "anchor_index .*row for each image"),
    "index dtype": ({"anchor_index": np.zeros((2, 6), np.int64)}, "anchor_index must be int32, not int64"),
    "no level": ({"pyramid": []}, "pyramid has no levels"),
    "nine levels": ({"pyramid": [np.zeros((2, 1, 1, 3), np.float32)] * 9}, "pyramid has 9 levels; at most 8"),
    "level rank": ({"pyramid": [np.zeros((2, 8, 3), np.float32)]}, r"pyramid\[0\].* 4 dimensions"),
    "level dtype": ({"pyramid": [np.zeros((2, 8, 8, 3), np.int32)]}, "pyramid must be .*int32"),
    "two dtypes": (
        {"pyramid": [np.zeros((2, 4, 5, 3), np.float32), np.zeros((2, 2, 3, 3), np.float16)]},
        "pyramid must be .*float32.*float16",
    ),
    "channels": (
        {"pyramid": [np.zeros((2, 4, 5, 3), np.float32), np.zeros((2, 2, 3, 4), np.float32)]},
        r"pyramid\[1\].*differs.*channels",
    ),
    "anchors per cell": ({"anchors_per_cell": 0}, "anchors_per_cell"),
}


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name, in_graph):
    change, message = MISTAKES[name]

    def call():
        return cell_windows(**{**GOOD, **change})

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        tf.function(call)() if in_graph else call()


def test_gradient_checks_its_arguments():
    """Nobody calls it directly, but an invalid call must not read or write outside its memory."""
    good = {
        "gradient": tf.zeros([2, 6, 9, 3]),
        "anchor_index": tf.zeros([2, 6], tf.int32),
        "shapes": [tf.constant([2, 4, 5, 3])],
        "anchors_per_cell": 3,
    }
    library.load().awsdet_cell_windows_grad(**good)
    for change in (
        {"gradient": tf.zeros([2, 6, 9, 4])},
        {"gradient": tf.zeros([2, 5, 9, 3])},
        {"anchor_index": tf.fill([2, 6], 60)},
        {"anchor_index": tf.zeros([1, 6], tf.int32)},
        {"shapes": [tf.constant([2, 4, 5])]},
        {"shapes": [tf.constant([2, -4, 5, 3])]},
    ):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            library.load().awsdet_cell_windows_grad(**{**good, **change})


def test_one_trace_serves_all_sizes():
    @tf.function(
        input_signature=[[tf.TensorSpec([None, None, None, 3])] * 2, tf.TensorSpec([None, None], tf.int32)],
    )
    def step(pyramid, index):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            windows, chosen = cell_windows(pyramid, index, 2)
        assert windows.shape.as_list() == [None, None, 9, 3] and chosen.shape.as_list() == [None, None, 2]
        gradients = tape.gradient(windows, pyramid)
        assert [gradient.shape.as_list() for gradient in gradients] == [[None, None, None, 3]] * 2
        return windows, gradients

    for batch, height, width, samples in ((1, 5, 9, 1), (3, 16, 3, 4), (0, 8, 8, 2), (2, 3, 3, 0), (2, 0, 4, 0)):
        pyramid = [tf.ones([batch, height, width, 3]), tf.ones([batch, 2, 2, 3])]
        windows, gradients = step(pyramid, tf.ones([batch, samples], tf.int32))
        assert windows.shape == (batch, samples, 9, 3)
        assert [gradient.shape for gradient in gradients] == [features.shape for features in pyramid]
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def fingerprint():
    """A digest of every bit of a large enough case, in three dtypes."""
    random = np.random.default_rng(3)
    found = []
    for dtype in (tf.float32, tf.float16, tf.bfloat16):
        sizes = [(100, 168), (50, 84), (25, 42)]
        pyramid = [tf.constant(random.normal(size=(4, h, w, 256)), dtype) for h, w in sizes]
        index = tf.constant(random.integers(0, 3 * 1000, (4, 256)), tf.int32)
        weights = tf.constant(random.normal(size=(4, 256, 9, 256)), dtype)
        found += windows_and_gradient(cell_windows, pyramid, index, 3, weights)[0]
    return threads.digest(found)


def test_the_number_of_threads_changes_no_bit():
    assert threads.change_no_bit(fingerprint)


def both_operators(levels, channels, per_cell):
    """A graph that takes every size, because thousands of eager calls would take long."""

    def results(operator, pyramid, index, weights):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            windows, chosen = operator(pyramid, index, per_cell)
        return [windows, chosen, *map(tf.convert_to_tensor, tape.gradient(windows, pyramid, weights))]

    maps = [tf.TensorSpec([None, None, None, channels])] * levels
    signature = [maps, tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None, 9, channels])]
    return tf.function(
        lambda *case: [results(operator, *case) for operator in (cell_windows, plain.cell_windows)],
        input_signature=signature,
        autograph=False,
    )


def compare_random_images(random, graphs):
    levels, channels, per_cell = (int(random.choice(some)) for some in ([1, 3, 8], [1, 8], [1, 3]))
    batch, samples = fuzz.images(random), random.choice([0, 1, 2, 7, 60])
    sizes = [tuple(random.choice([1, 1, 2, 3, 5, 11], 2)) for _ in range(levels)]
    pyramid = [random.integers(-9, 9, (batch, h, w, channels)).astype(np.float32) for h, w in sizes]
    anchors = per_cell * sum(h * w for h, w in sizes)
    index = anchors - 1 - random.integers(0, min(anchors, random.choice([1, 20, anchors])), (batch, samples))
    weights = random.integers(-2, 3, (batch, samples, 9, channels)).astype(np.float32)
    ours, theirs = graphs(levels, channels, per_cell)(pyramid, tf.constant(index, tf.int32), weights)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    return batch


def test_random_images_equal_the_twin():
    fuzz.run(functools.partial(compare_random_images, graphs=functools.cache(both_operators)))
