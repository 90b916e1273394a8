"""The compiled RoIAlign, forward and gradient, against its plain twin, known numbers and its own definition.

tests/parity compares it with the reference file.
"""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import library
from awsdet.ops.reference import roi_align as plain
from awsdet.ops.roi_align import roi_align
from tests.ops import threads

NAN, INF = float("nan"), float("inf")


def pool_and_gradient(pool, pyramid, boxes, index, weights=None, **settings):
    """Pooled features, and the gradient of each level, as float32 arrays."""
    with tf.GradientTape() as tape:
        tape.watch(pyramid)
        pooled = pool(pyramid, boxes, index, **settings)
    weights = pooled if weights is None else weights
    gradients = tape.gradient(pooled, pyramid, weights)
    return [tf.cast(tf.convert_to_tensor(tensor), tf.float32).numpy() for tensor in (pooled, *gradients)]


def assert_close(ours, theirs, tolerance):
    """Each tensor within `tolerance` of its largest magnitude."""
    for mine, other in zip(ours, theirs):
        assert mine.shape == other.shape
        assert np.abs(mine - other).max(initial=0) <= tolerance * max(np.abs(other).max(initial=0), 1e-30)


def random_case(seed, dtype=tf.float32):
    """A pyramid of some levels, boxes of all sizes inside, across and outside the image, and settings."""
    random = np.random.default_rng(seed)
    strides = [4, 8, 16, 32][: random.integers(1, 5)]
    height, width, batch = random.integers(20, 250), random.integers(20, 250), random.integers(1, 4)
    channels, count = random.choice([1, 3, 8, 17, 64]), random.integers(1, 60)
    pyramid = [
        tf.constant(random.normal(size=(batch, -(-height // s), -(-width // s), channels)), dtype) for s in strides
    ]
    centre, half = random.uniform(-0.2, 1.2, (count, 2)), np.exp(random.uniform(-6, 0.5, (count, 2)))
    boxes = np.concatenate([centre - half, centre + half], axis=1) * [width, height, width, height]
    settings = {
        "strides": strides,
        "output_size": int(random.choice([1, 2, 7, 14])),
        "finest_scale": float(random.choice([14, 56])),
        "sampling_ratio": int(random.choice([0, 0, 1, 2, 3])),
        "aligned": bool(random.integers(2)),
    }
    index = random.integers(0, batch, count)
    return pyramid, tf.constant(boxes, tf.float32), tf.constant(index, tf.int32), settings


def test_known_example():
    """Detectron2's example: 5 x 5 ascending numbers, box (1, 1, 3, 3) to 4 x 4."""
    features = tf.reshape(tf.range(25.0), [1, 5, 5, 1])
    pooled = roi_align([features], tf.constant([[1.0, 1, 3, 3]]), tf.constant([0]), strides=[1], output_size=4)
    expected = [[4.5, 5, 5.5, 6], [7, 7.5, 8, 8.5], [9.5, 10, 10.5, 11], [12, 12.5, 13, 13.5]]
    np.testing.assert_allclose(pooled[0, :, :, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(16))
def test_equals_the_twin(seed):
    pyramid, boxes, index, settings = random_case(seed)
    ours, theirs = (pool_and_gradient(pool, pyramid, boxes, index, **settings) for pool in (roi_align, plain.roi_align))
    assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("seed", range(20, 24))
def test_low_precision_is_float32_rounded_once(seed, dtype):
    pyramid, boxes, index, settings = random_case(seed, dtype)
    weights = tf.cast(plain.roi_align(pyramid, boxes, index, **settings), dtype)
    low = pool_and_gradient(roi_align, pyramid, boxes, index, weights, **settings)
    wide = [tf.cast(features, tf.float32) for features in pyramid]
    exact = pool_and_gradient(roi_align, wide, boxes, index, tf.cast(weights, tf.float32), **settings)
    half_step = {tf.float16: 2.0**-11, tf.bfloat16: 2.0**-8}[dtype]
    for ours, theirs in zip(low, exact):
        # The float32 sums themselves may differ in a last bit, by how the compiler fuses multiplications.
        bound = half_step * np.abs(theirs) + 1e-6 * np.abs(theirs).max() + 2.0**-25
        assert np.all(np.abs(ours - theirs) <= bound)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_every_16_bit_number_passes_through(dtype):
    """Maps of one pixel, whose weight is 1, with subnormal numbers, infinities and NaN."""
    features = tf.bitcast(tf.constant(np.arange(2**16), tf.uint16), dtype)[None, None, None]
    box = tf.constant([[0.0, 0, 1, 1]])
    pooled = roi_align([features], box, tf.constant([0]), strides=[1], output_size=1)
    before, after = (tf.cast(tf.reshape(tensor, [-1]), tf.float32).numpy() for tensor in (features, pooled))
    # TensorFlow's threads take float32's subnormal numbers, which bfloat16 shares, for zeros.
    before, after = (np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(0, x), x) for x in (before, after))
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(np.signbit(before), np.signbit(after))


def test_gradient_equals_finite_differences():
    random = np.random.default_rng(0)
    pyramid = [tf.constant(random.normal(size=(2, 8 // s, 12 // s, 2)), tf.float32) for s in (1, 2)]
    boxes = tf.constant([[0.3, 0.2, 5.7, 4.1], [-3, 2, 20, 7], [4, 4, 4, 4], [2, 1, 9, 8]], tf.float32)
    index = tf.constant([0, 1, 1, 0])

    def pool(*features):
        return roi_align(list(features), boxes, index, strides=[1, 2], output_size=3, finest_scale=3.0)

    # Linear in the features, so a large step costs no accuracy.
    analytic, numeric = tf.test.compute_gradient(pool, pyramid, delta=1.0)
    for ours, theirs in zip(analytic, numeric):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
        assert np.abs(ours).max() > 0.05


def test_boxes_have_no_gradient():
    pyramid, boxes, index, settings = random_case(1)
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        pooled = roi_align(pyramid, boxes, index, **settings)
    assert tape.gradient(pooled, boxes) is None


def test_levels_equal_the_twins_also_at_their_bounds():
    """Each level holds its own number; sizes are the floats around 56 * 2^k."""
    sizes = np.float32(56) * np.float32(2) ** np.arange(-2, 5, dtype=np.float32)
    near = [sizes]
    for direction in (0, np.inf):
        step = sizes
        for _ in range(40):
            step = np.nextafter(step, np.float32(direction))
            near.append(step)
    near = np.concatenate([*near, np.random.default_rng(0).uniform(1, 2000, 2000).astype(np.float32)])
    boxes = tf.constant(np.stack([near * 0, near * 0, near, near], axis=1))
    pyramid = [tf.fill([1, 600, 600, 1], float(level)) for level in range(5)]
    pooled = roi_align(pyramid, boxes, tf.zeros(len(near), tf.int32), strides=[4] * 5, output_size=1)
    np.testing.assert_array_equal(tf.round(pooled[:, 0, 0, 0]), plain.assign_levels(boxes, 56.0, 5))


BOXES_OF_NOTHING = [
    [NAN, 0, 8, 8],
    [0, NAN, 8, 8],
    [NAN, NAN, NAN, NAN],
    [0, 0, INF, 8],
    [-INF, -INF, INF, INF],
    [INF, INF, INF, INF],
    [1e38, 1e38, 3e38, 3e38],
    [-3e38, -3e38, -1e38, -1e38],
    [-90, -90, -50, -50],
    [500, 3, 520, 9],
]


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_boxes_of_nothing_give_zeros(aligned, sampling_ratio):
    pyramid = [tf.ones([2, 16 // s, 24 // s, 5]) for s in (1, 2, 4)]
    boxes = tf.constant(BOXES_OF_NOTHING)
    settings = {"strides": [1, 2, 4], "output_size": 7, "aligned": aligned, "sampling_ratio": sampling_ratio}
    index = tf.constant(np.arange(len(boxes)) % 2, tf.int32)
    weights = tf.ones([len(boxes), 7, 7, 5])
    for tensor in pool_and_gradient(roi_align, pyramid, boxes, index, weights, **settings):
        np.testing.assert_array_equal(tensor, 0)


@pytest.mark.parametrize("sampling_ratio", [0, 2, 1000])
@pytest.mark.parametrize("aligned", [True, False])
def test_odd_boxes_equal_the_twin(aligned, sampling_ratio):
    """Boxes that are empty, inverted, not finite, or so large that samples are limited."""
    boxes = [[3, 4, 3, 4], [0, 0, 0, 0], [9, 9, 2, 3], [9, 2, 3, 12], [-4e3, -3e3, 5e3, 4e3], [-1e6, 0, 1e6, 9]]
    boxes += [[0, 0, 8, -INF], [0, 0, 24, 16], [-1, -1, 0, 0], [23.5, 15.5, 24.5, 16.5], [NAN, 0, 1, 1]]
    features = [tf.random.stateless_normal([2, 16, 24, 3], [0, 0])]
    index = tf.constant(np.arange(len(boxes)) % 2, tf.int32)
    settings = {"strides": [1], "output_size": 3, "aligned": aligned, "sampling_ratio": sampling_ratio}
    boxes = tf.constant(boxes, tf.float32)
    ours = pool_and_gradient(roi_align, features, boxes, index, **settings)
    known = pool_and_gradient(plain.roi_align, features, boxes[:-1], index[:-1], **settings)
    assert_close([ours[0][:-1], ours[1]], known, 2e-5)


@pytest.mark.parametrize("shape", [(0, 4, 5, 3), (2, 4, 5, 0), (2, 0, 5, 3), (2, 4, 0, 3)])
def test_nothing_to_read(shape):
    """No images, no channels, no rows, no columns."""
    count = 0 if shape[0] == 0 else 2
    boxes, index = tf.constant([[0.0, 0, 3, 3]] * count, shape=[count, 4]), tf.zeros([count], tf.int32)
    weights = tf.ones([count, 2, 2, shape[3]])
    pooled, gradient = pool_and_gradient(
        roi_align, [tf.zeros(shape)], boxes, index, weights, strides=[1], output_size=2
    )
    assert pooled.shape == (count, 2, 2, shape[3]) and gradient.shape == shape
    np.testing.assert_array_equal(pooled, 0)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_no_rois(dtype):
    pyramid = [tf.ones([2, 8 // s, 8 // s, 4], dtype) for s in (1, 2)]
    boxes, index = tf.zeros([0, 4]), tf.zeros([0], tf.int32)
    pooled, *gradients = pool_and_gradient(roi_align, pyramid, boxes, index, strides=[1, 2], output_size=7)
    assert pooled.shape == (0, 7, 7, 4)
    assert [gradient.shape for gradient in gradients] == [(2, 8, 8, 4), (2, 4, 4, 4)]
    assert not any(gradient.any() for gradient in gradients)


GOOD = {
    "pyramid": [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4, 4, 3), np.float32)],
    "boxes": np.zeros((5, 4), np.float32),
    "image_index": np.zeros(5, np.int32),
    "strides": [4, 8],
    "output_size": 7,
}
MISTAKES = {
    "image_index too large": (
        {"image_index": np.array([0, 1, 0, 2, 0], np.int32)},
        r"image_index\[3\] is 2.* 2 images",
    ),
    "image_index negative": ({"image_index": np.array([0, -1, 0, 0, 0], np.int32)}, r"image_index\[1\] is -1"),
    "image_index length": ({"image_index": np.zeros(4, np.int32)}, "image_index .*each of boxes"),
    "image_index rank": ({"image_index": np.zeros((5, 1), np.int32)}, "image_index"),
    "image_index dtype": ({"image_index": np.zeros(5, np.int64)}, "image_index must be int32, not int64"),
    "boxes rank": ({"boxes": np.zeros(4, np.float32)}, "boxes"),
    "boxes columns": ({"boxes": np.zeros((5, 5), np.float32)}, r"boxes must be \[R, 4\]"),
    "boxes dtype": ({"boxes": np.zeros((5, 4))}, "boxes must be float32, not float64"),
    "no level": ({"pyramid": [], "strides": []}, "pyramid"),
    "pyramid rank": ({"pyramid": [np.zeros((8, 8, 3), np.float32)] * 2}, r"pyramid\[0\].* 4 dimensions"),
    "pyramid dtype": ({"pyramid": [np.zeros((2, 8, 8, 3), np.int32)] * 2}, "pyramid must be .*int32"),
    "pyramid of two dtypes": (
        {"pyramid": [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4, 4, 3), np.float16)]},
        "pyramid must be .*float32.*float16",
    ),
    "pyramid channels": (
        {"pyramid": [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 4, 4, 4), np.float32)]},
        r"pyramid\[1\].*differs.*channels",
    ),
    "pyramid side": ({"pyramid": [np.zeros((0, 1, 2**24 + 1, 3), np.float32)] * 2}, r"pyramid\[0\].*side of more than"),
    "strides length": ({"strides": [4]}, "strides has 1 entries for a pyramid of 2 levels"),
    "strides zero": ({"strides": [4, 0]}, "strides must be positive"),
    "output_size": ({"output_size": 0}, "output_size"),
    "sampling_ratio": ({"sampling_ratio": -1}, "sampling_ratio"),
    "finest_scale": ({"finest_scale": 0.0}, "finest_scale must be a positive"),
}


@pytest.mark.parametrize("in_graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name, in_graph):
    change, message = MISTAKES[name]
    arguments = {**GOOD, **change}

    def call():
        pyramid, boxes, index = (arguments.pop(key) for key in ("pyramid", "boxes", "image_index"))
        return roi_align(pyramid, boxes, index, **arguments)

    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        tf.function(call)() if in_graph else call()


def test_gradient_checks_its_arguments():
    """Nobody calls it directly, but an invalid call must not read or write outside its memory."""
    good = {
        "gradient": tf.zeros([5, 7, 7, 3]),
        "boxes": tf.zeros([5, 4]),
        "image_index": tf.zeros([5], tf.int32),
        "shapes": [tf.constant([2, 8, 8, 3])],
        "strides": [4.0],
        "output_size": 7,
        "finest_scale": 56.0,
        "sampling_ratio": 0,
        "aligned": True,
    }
    library.load().awsdet_roi_align_grad(**good)
    for change in (
        {"gradient": tf.zeros([4, 7, 7, 3])},
        {"gradient": tf.zeros([5, 7, 7, 4])},
        {"image_index": tf.fill([5], 2)},
        {"shapes": [tf.constant([2, 8, 8])]},
        {"shapes": [tf.constant([2, -8, 8, 3])]},
    ):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            library.load().awsdet_roi_align_grad(**{**good, **change})


def test_one_trace_serves_all_sizes():
    @tf.function(
        input_signature=[
            [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, None, 3])],
            tf.TensorSpec([None, 4]),
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def pool(pyramid, boxes, index):
        with tf.GradientTape() as tape:
            tape.watch(pyramid)
            pooled = roi_align(pyramid, boxes, index, strides=[1, 2], output_size=7)
        assert pooled.shape.as_list() == [None, 7, 7, 3]
        gradients = tape.gradient(pooled, pyramid)
        assert [gradient.shape.as_list() for gradient in gradients] == [[None, None, None, 3]] * 2
        return pooled, gradients

    for batch, height, width, count in ((1, 5, 9, 1), (3, 16, 3, 4), (1, 8, 8, 0)):
        boxes = tf.ones([count, 4]) * [0.0, 0.0, 3.0, 3.0]
        pyramid = [tf.ones([batch, height, width, 3]), tf.ones([batch, 2, 2, 3])]
        pooled, gradients = pool(pyramid, boxes, tf.zeros([count], tf.int32))
        np.testing.assert_allclose(pooled, 1.0)
        assert [gradient.shape for gradient in gradients] == [features.shape for features in pyramid]


def test_static_shapes_are_known():
    @tf.function
    def pool():
        pooled = roi_align([tf.zeros([2, 8, 8, 6])], tf.zeros([9, 4]), tf.zeros([9], tf.int32), **one_level)
        assert pooled.shape.as_list() == [9, 5, 5, 6]
        return pooled

    one_level = {"strides": [4], "output_size": 5}
    pool()


def fingerprint():
    """A digest of every bit of a large enough case, in three dtypes: several tiles and ranges for any thread count."""
    random = np.random.default_rng(3)
    found = []
    for dtype in (tf.float32, tf.float16, tf.bfloat16):
        pyramid = [tf.constant(random.normal(size=(2, 160 // s, 240 // s, 96)), dtype) for s in (4, 8)]
        corner, size = random.uniform(0, 160, (300, 2)), np.exp(random.uniform(2, 5, (300, 2)))
        boxes = tf.constant(np.concatenate([corner, corner + size], axis=1), tf.float32)
        index = tf.constant(random.integers(0, 2, 300), tf.int32)
        found += pool_and_gradient(roi_align, pyramid, boxes, index, strides=[4, 8], output_size=7)
    return threads.digest(found)


def test_the_number_of_threads_changes_no_bit():
    assert threads.change_no_bit(fingerprint)
