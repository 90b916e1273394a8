"""The compiled decode_boxes against the definition and against its twin."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops.decode_boxes import decode_boxes
from awsdet.ops.reference import decode_boxes as plain
from tests.ops import fuzz

OPTIONS = {"stds": (0.1, 0.1, 0.2, 0.2), "max_log_ratio": 4.135166556742356}


def random_call(random, images, count, delta_classes, dtype=tf.float32):
    corner = random.uniform(-20, 150, (images, count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(0, 90, (images, count, 2))], axis=2).astype(np.float32)
    deltas = tf.cast(random.normal(0, 8, (images, count, delta_classes, 4)), dtype)
    return deltas, boxes, random.choice([0, 1, 80, 130], (images, 2)).astype(np.int32)


def test_equals_the_definition():
    random = np.random.default_rng(0)
    deltas, boxes, _ = random_call(random, 2, 7, 3)
    size = np.int32([[90, 120], [300, 60]])
    found = decode_boxes(deltas, boxes, size, num_classes=3, **OPTIONS)
    assert found.classes.numpy().tolist() == [[0, 1, 2] * 7] * 2
    for image, box, label in np.ndindex(2, 7, 3):
        x1, y1, x2, y2 = boxes[image, box].astype(float)
        dx, dy, dw, dh = deltas[image, box, label].numpy() * OPTIONS["stds"]
        half = [(x2 - x1) / 2 * np.exp(np.clip(dw, -4.135, 4.135)), (y2 - y1) / 2 * np.exp(np.clip(dh, -4.135, 4.135))]
        centre = [(x1 + x2) / 2 + dx * (x2 - x1), (y1 + y2) / 2 + dy * (y2 - y1)]
        expected = np.clip([*np.subtract(centre, half), *np.add(centre, half)], 0, [*size[image, ::-1]] * 2)
        np.testing.assert_allclose(found.boxes[image, 3 * box + label], expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_agrees_with_the_twin_on_random_input(dtype):
    def compare(random):
        images = fuzz.images(random)
        count = int(random.choice([0, 1, 2, 9, *([] if images > 3 else [300])]))
        classes = int(random.choice([1, 1, 5]))
        arguments = random_call(random, images, count, int(random.choice([1, classes])), dtype)
        ours = decode_boxes(*arguments, num_classes=classes, **OPTIONS)
        twin = plain.decode_boxes(*arguments, num_classes=classes, **OPTIONS)
        np.testing.assert_allclose(ours.boxes, twin.boxes, rtol=1e-6, atol=1e-3)
        np.testing.assert_array_equal(ours.classes, twin.classes)
        return images

    fuzz.run(compare, -(-fuzz.CASES // 3))


def test_the_exponential_is_that_of_numpy_rounded_once():
    """Deltas that only scale; half a width of 2^-1 keeps every bit of the exponential."""
    logs = np.linspace(-79.5, 79.5, 40_001, dtype=np.float32)
    deltas = np.stack([0 * logs, 0 * logs, logs, logs], axis=1)[None, :, None]
    boxes = np.tile(np.float32([-1, -1, 1, 1]), (1, len(logs), 1))
    options = {"num_classes": 1, "stds": (1.0,) * 4, "max_log_ratio": 80.0}
    found = decode_boxes(deltas, boxes, np.int32([[2**31 - 1] * 2]), **options).boxes[0, :, 2].numpy()
    exact = np.exp(logs.astype(np.float64))
    inside = exact < 2**31
    ulp = np.spacing(exact[inside].astype(np.float32))
    assert np.max(np.abs(found[inside] - exact[inside]) / ulp) < 0.51
    assert (found[~inside] == 2.0**31).all()


def test_nan_stays_nan_and_infinity_is_clipped():
    deltas = np.zeros((1, 3, 1, 4), np.float32)
    deltas[0, 0, 0, 2], deltas[0, 1, 0, 0], deltas[0, 2, 0, 3] = np.nan, np.inf, np.inf
    boxes = np.tile(np.float32([10, 10, 20, 20]), (1, 3, 1))
    for module in (decode_boxes, plain.decode_boxes):
        found = module(deltas, boxes, np.int32([[50, 60]]), num_classes=1, **OPTIONS).boxes[0].numpy()
        assert np.isnan(found[0]).tolist() == [True, False, True, False]
        assert found[1].tolist() == [60, 10, 60, 20] and found[2].tolist() == [10, 0, 20, 50]


def test_static_shapes_survive_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([2, None, 3, 4]), tf.TensorSpec([None, 6, 4])])
    def graph(deltas, boxes):
        found = decode_boxes(deltas, boxes, tf.zeros([2, 2], tf.int32), num_classes=3, **OPTIONS)
        assert found.boxes.shape == [2, 18, 4] and found.classes.shape == [2, 18]
        return found.boxes

    assert not graph(tf.zeros([2, 6, 3, 4]), tf.ones([2, 6, 4])).numpy().any()


def call_with(**changes):
    arguments = {
        "deltas": tf.zeros([2, 5, 3, 4]),
        "boxes": tf.zeros([2, 5, 4]),
        "image_size": tf.zeros([2, 2], tf.int32),
        "num_classes": 3,
        **OPTIONS,
    }
    return decode_boxes(**{**arguments, **changes})


WRONG = [
    {"deltas": tf.zeros([2, 5, 2, 4])},
    {"deltas": tf.zeros([2, 4, 3, 4])},
    {"deltas": tf.zeros([2, 5, 3, 4], tf.float64)},
    {"boxes": tf.zeros([2, 5, 5])},
    {"boxes": tf.zeros([5, 4])},
    {"boxes": tf.zeros([2, 5, 4], tf.half)},
    {"image_size": tf.zeros([3, 2], tf.int32)},
    {"image_size": tf.zeros([2, 2])},
    {"stds": (1.0, 1.0)},
    {"max_log_ratio": float("nan")},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: "-".join(changes))
def test_wrong_argument_is_named(changes):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=f"decode_boxes: {next(iter(changes))}"):
        call_with(**changes)


def test_num_classes_must_be_positive():
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="num_classes"):
        call_with(num_classes=0)
