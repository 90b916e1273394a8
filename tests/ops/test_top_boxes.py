"""The compiled top_boxes against the definition and against its twin, on random input of every odd kind."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.reference import top_boxes as plain
from awsdet.ops.top_boxes import top_boxes
from tests.ops import fuzz

RATIO = 4.135166556742356
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, -3.4028235e38], np.float32)


def random_call(random, dtype):
    """Arguments of a call: levels with few anchors and with none, equal, infinite and NaN logits, empty images."""
    images, classes, levels = fuzz.images(random), random.choice([1, 1, 3]), random.integers(1, 5)
    chances = [0.1, 0.1, 0.2, 0.6, 0, 0] if images > 3 else [0.1, 0.1, 0.2, 0.3, 0.25, 0.05]
    counts = [int(random.choice([0, 1, 2, 40, 300, 3000], p=chances)) for _ in range(levels)]
    logits, deltas, anchors = [], [], []
    coarse, odd = random.integers(2), random.choice([0.0, 0.02, 0.5])
    for count in counts:
        values = random.normal(0, 3, (images, count, classes)).astype(np.float32)
        values = np.round(values) if coarse else values
        values = np.where(random.uniform(size=values.shape) < odd, random.choice(ODD, values.shape), values)
        moves = random.normal(0, random.choice([0.1, 1.0, 3.0]), (images, count, 4)).astype(np.float32)
        moves = np.where(random.uniform(size=moves.shape) < odd / 10, random.choice(ODD, moves.shape), moves)
        corner = random.uniform(-50, 250, (count, 2))
        anchors.append(np.concatenate([corner, corner + random.uniform(0, 120, (count, 2))], axis=1))
        logits.append(tf.cast(values, dtype))
        deltas.append(tf.cast(moves, dtype))
    size = random.choice([0, 1, 90, 200], (images, 2)).astype(np.int32)
    options = {
        "limit": int(random.choice([1, 3, 50, 700])),
        "min_size": float(random.choice([0.0, 0.0, 9.5])),
        "stds": [(1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.2, 0.2)][random.integers(2)],
        "max_log_ratio": RATIO,
    }
    return (logits, deltas, np.concatenate(anchors).astype(np.float32), size), options


def assert_close_boxes(ours, twin, options):
    """Sides differ by the rounding of exp: a few units in the last place of the coordinates before clipping."""
    np.testing.assert_array_equal(np.isnan(ours.boxes), np.isnan(twin.boxes))
    np.testing.assert_allclose(ours.boxes, twin.boxes, rtol=1e-6, atol=2e-3)
    np.testing.assert_array_equal(ours.classes, twin.classes)
    np.testing.assert_array_equal(ours.levels, twin.levels)
    # Whether a box is too small may depend on that rounding, if a side is within it of the least size.
    sides = np.asarray(twin.boxes)[..., 2:] - np.asarray(twin.boxes)[..., :2]
    clear = np.all(np.abs(sides - options["min_size"]) > 1e-3, axis=-1) | np.isnan(sides).any(axis=-1)
    np.testing.assert_array_equal(np.asarray(ours.logits)[clear], np.asarray(twin.logits)[clear])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_agrees_with_the_twin_on_random_input(dtype):
    def compare(random):
        arguments, options = random_call(random, dtype)
        ours, twin = top_boxes(*arguments, **options), plain.top_boxes(*arguments, **options)
        assert_close_boxes(ours, twin, options)
        return len(arguments[3])

    fuzz.run(compare, -(-fuzz.CASES // 3))


def test_equals_the_definition():
    """Anchor by anchor in NumPy: which pairs, in which order, and where they come to lie."""
    random = np.random.default_rng(2)
    logits = [random.normal(size=(2, count, 3)).astype(np.float32) for count in (40, 5)]
    deltas = [random.normal(0, 0.3, (2, count, 4)).astype(np.float32) for count in (40, 5)]
    anchors = random.uniform(0, 50, (45, 4)).astype(np.float32)
    anchors[:, 2:] += anchors[:, :2]
    size, stds = np.int32([[60, 80], [90, 70]]), np.array([0.5, 0.5, 2.0, 2.0])
    found = top_boxes(logits, deltas, anchors, size, limit=20, stds=tuple(stds), max_log_ratio=1.0, min_size=2.0)
    assert found.boxes.shape == (2, 35, 4) and found.logits.shape == (2, 35)
    for image in range(2):
        place = 0
        for level, first in ((0, 0), (1, 40)):
            flat = logits[level][image].ravel()
            for index in np.argsort(-flat, kind="stable")[:20]:
                x1, y1, x2, y2 = anchors[first + index // 3].astype(float)
                dx, dy, dw, dh = deltas[level][image, index // 3] * stds
                x, y = (x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)
                half_x, half_y = (side * np.exp(np.clip(d, -1, 1)) / 2 for side, d in ((x2 - x1, dw), (y2 - y1, dh)))
                box = np.clip([x - half_x, y - half_y, x + half_x, y + half_y], 0, [*size[image, ::-1]] * 2)
                np.testing.assert_allclose(found.boxes[image, place], box, atol=1e-4)
                large = box[2] - box[0] > 2 and box[3] - box[1] > 2
                assert found.logits[image, place] == (flat[index] if large else -np.inf)
                assert found.classes[image, place] == index % 3 and found.levels[image, place] == level
                place += 1
        assert place == 35


def one_level(logits, limit, classes=1, size=100):
    """The result for anchors that are boxes 1 px apart, and no deltas."""
    logits = np.asarray(logits, np.float32).reshape(1, -1, classes)
    corner = np.arange(logits.shape[1], dtype=np.float32)
    anchors = np.stack([corner, 0 * corner, corner + 8, 0 * corner + 8], axis=1)
    deltas = np.zeros((1, len(corner), 4), np.float32)
    options = {"limit": limit, "stds": (1.0,) * 4, "max_log_ratio": RATIO}
    return top_boxes([logits], [deltas], anchors, [[size, size]], **options)


def test_ties_go_to_the_lower_index_also_at_the_limit():
    found = one_level([3, 5, 3, 5, 3, 4, 3], 5)
    assert found.boxes[0, :, 0].numpy().tolist() == [1, 3, 5, 0, 2]
    assert found.logits[0].numpy().tolist() == [5, 5, 4, 3, 3]
    zeros = one_level([-0.0, 0.0, -0.0, 0.0], 3)
    assert zeros.boxes[0, :, 0].numpy().tolist() == [0, 1, 2]


def test_confident_logits_keep_their_order():
    """The sigmoid of all of these is 1 in float32."""
    found = one_level([20, 23, 21, 30], 3)
    assert found.boxes[0, :, 0].numpy().tolist() == [3, 1, 2]


def test_nan_comes_last_and_cannot_be_used_and_minus_infinity_can():
    found = one_level([np.nan, -np.inf, 1, np.inf, -np.nan], 5)
    assert found.boxes[0, :, 0].numpy().tolist() == [3, 2, 1, 0, 4]
    lowest = np.finfo(np.float32).min
    assert found.logits[0].numpy().tolist() == [np.inf, 1, lowest, -np.inf, -np.inf]
    assert one_level([np.nan, -np.inf, 1], 2).boxes[0, :, 0].numpy().tolist() == [2, 1]


def test_more_nan_than_the_limit():
    logits = np.full(9000, np.nan, np.float32)
    logits[[8000, 5000]] = [-np.inf, 2.0]
    assert one_level(logits, 4, size=10000).boxes[0, :, 0].numpy().tolist() == [5000, 8000, 0, 1]


@pytest.mark.parametrize("order", ["rising", "falling", "random", "equal"])
def test_many_logits_in_any_order(order):
    """So many that a level is cut into parts, which threads look at separately."""
    count, limit = 200_000, 1500
    values = np.linspace(-9, 9, count, dtype=np.float32)
    values = {"rising": values, "falling": values[::-1], "equal": 0 * values}.get(order, values)
    if order == "random":
        values = np.random.default_rng(4).permutation(values)
    found = one_level(values, limit, classes=2, size=10**6)
    expected = np.argsort(-values, kind="stable")[:limit]
    np.testing.assert_array_equal(found.boxes[0, :, 0], expected // 2)
    np.testing.assert_array_equal(found.classes[0], expected % 2)
    np.testing.assert_array_equal(found.logits[0], values[expected])


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_an_image_does_not_depend_on_its_batch(dtype):
    random = np.random.default_rng(6)
    logits = [tf.cast(random.normal(size=(8, count, 1)), dtype) for count in (700, 90)]
    deltas = [tf.cast(random.normal(size=(8, count, 4)), dtype) for count in (700, 90)]
    anchors, size = random.uniform(0, 99, (790, 4)).astype(np.float32), np.full((8, 2), 150, np.int32)
    options = {"limit": 100, "stds": (1.0,) * 4, "max_log_ratio": RATIO}
    together = top_boxes(logits, deltas, anchors, size, **options)
    for image in range(8):
        one = slice(image, image + 1)
        alone = top_boxes([part[one] for part in logits], [part[one] for part in deltas], anchors, size[one], **options)
        for ours, theirs in zip(alone, together):
            np.testing.assert_array_equal(ours[0], theirs[image])


def test_static_shapes_survive_a_graph_and_there_is_no_gradient():
    options = {"limit": 30, "stds": (1.0,) * 4, "max_log_ratio": RATIO}
    size = tf.constant([[50, 50], [50, 50]])

    @tf.function(input_signature=[tf.TensorSpec([2, 90, 1]), tf.TensorSpec([2, None, 1])])
    def graph(known, unknown):
        found = top_boxes([known], [tf.zeros([2, 90, 4])], tf.ones([90, 4]), size, **options)
        assert found.boxes.shape == [2, 30, 4]
        assert found.logits.shape == found.classes.shape == found.levels.shape == [2, 30]
        moves = tf.zeros([2, tf.shape(unknown)[1], 4])
        more = top_boxes([known, unknown], [tf.zeros([2, 90, 4]), moves], tf.ones([97, 4]), size, **options)
        assert more.boxes.shape.as_list() == [2, None, 4]
        return more

    logits = tf.random.stateless_normal([2, 97, 1], (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = graph(logits[:, :90], logits[:, 90:])
        total = tf.reduce_sum(found.boxes)
    assert found.boxes.shape == (2, 37, 4) and tape.gradient(total, logits) is None


def call_with(**changes):
    """A valid call with some changes."""
    arguments = {
        "logits": [tf.zeros([2, 5, 1]), tf.zeros([2, 3, 1])],
        "deltas": [tf.zeros([2, 5, 4]), tf.zeros([2, 3, 4])],
        "anchors": tf.zeros([8, 4]),
        "image_size": tf.constant([[9, 9], [9, 9]]),
        "limit": 4,
        "stds": (1.0, 1.0, 1.0, 1.0),
        "max_log_ratio": RATIO,
    }
    return top_boxes(**{**arguments, **changes})


WRONG = [
    {"logits": [tf.zeros([2, 5]), tf.zeros([2, 3])]},
    {"logits": [tf.zeros([2, 5, 1]), tf.zeros([1, 3, 1])]},
    {"logits": [tf.zeros([2, 5, 1]), tf.zeros([2, 3, 2])]},
    {"logits": [tf.zeros([2, 5, 1], tf.float64), tf.zeros([2, 3, 1], tf.float64)]},
    {"logits": [tf.zeros([2, 5, 0]), tf.zeros([2, 3, 0])]},
    {"logits": [], "deltas": []},
    {"deltas": [tf.zeros([2, 5, 4])]},
    {"deltas": [tf.zeros([2, 5, 4]), tf.zeros([2, 4, 4])]},
    {"deltas": [tf.zeros([2, 5, 4], tf.half), tf.zeros([2, 3, 4], tf.half)]},
    {"anchors": tf.zeros([7, 4])},
    {"anchors": tf.zeros([8, 4], tf.half)},
    {"image_size": tf.constant([[9, 9]])},
    {"image_size": tf.constant([[9.0, 9.0], [9.0, 9.0]])},
    {"limit": 0},
    {"limit": 2**31},
    {"stds": (1.0, 1.0, 1.0)},
    {"stds": (1.0, 1.0, 0.0, 1.0)},
    {"max_log_ratio": 0.0},
    {"max_log_ratio": 81.0},
    {"min_size": float("nan")},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: "-".join(changes))
def test_wrong_argument_is_named(changes):
    with pytest.raises(
        (ValueError, tf.errors.InvalidArgumentError), match=f"top_boxes: {next(iter(changes))}"
    ) as error:
        call_with(**changes)
    assert "\n" not in str(error.value).strip()


def test_wrong_shape_is_found_when_traced_and_when_run():
    with pytest.raises(ValueError, match="top_boxes: deltas"):
        tf.function(call_with)(deltas=[tf.zeros([2, 5, 4]), tf.zeros([2, 4, 4])])
    unknown = tf.function(lambda size: call_with(image_size=size), input_signature=[tf.TensorSpec(None, tf.int32)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="top_boxes: image_size must be"):
        unknown(tf.constant([1, 2]))
