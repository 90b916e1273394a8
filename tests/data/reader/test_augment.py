"""Augmentations: statistics of the drawn numbers; and images, boxes and masks stay in step."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet import config
from awsdet.data.reader import augment
from awsdet.data.reader.builder import reader_options
from awsdet.ops.placement import Placement

STEPS, BATCH = 50, 8
RNG = np.random.default_rng(0)
HEIGHT, WIDTH = RNG.integers(30, 700, (2, STEPS, BATCH)).astype(np.int32)


def rules_of(**changes):
    settings = config.mask_rcnn().data
    settings.update(changes)
    return reader_options(settings).augmentation


def drawn(height=HEIGHT, width=WIDTH, seed=1, **changes):
    draws = augment.Draws(np.random.default_rng(seed), (seed, 0), height.shape, slice(None))
    return augment.draw(rules_of(**changes), height, width, draws)


def assert_possible(placement):
    assert placement.size.dtype == placement.corner.dtype == placement.window.dtype == np.int32
    assert (placement.size >= 1).all() and (placement.window >= 1).all() and (placement.corner >= 0).all()
    assert (placement.corner + placement.window <= placement.size).all()


ALL_COLOURS = {"brightness": 0.4, "contrast": 0.3, "saturation": 1.5, "hue": 0.1}
GEOMETRIES = {
    "plain": {},
    "range": {"short_side_range": (200, 300)},
    "crop": {"crop": (0.3, 0.6)},
    "crop at objects": {"crop": (0.3, 0.6), "crop_keeps_object": True},
    "jitter": {"canvas": 256},
}


@pytest.mark.parametrize("changes", GEOMETRIES.values(), ids=list(GEOMETRIES))
def test_placements_can_be(changes):
    assert_possible(drawn(**changes).placement)
    ones = np.ones((3, 2), np.int32)
    assert_possible(drawn(ones, ones, **changes).placement)
    assert_possible(drawn(ones, 3000 * ones, **changes).placement)


def test_without_augmentation_the_whole_image_is_shown():
    found = drawn()
    assert not found.others and not found.placement.corner.any()
    np.testing.assert_array_equal(found.placement.window, found.placement.size)


def test_short_sides_come_from_the_whole_range():
    size = drawn(short_side_range=(200, 203), max_long_side=10**6).placement.size
    assert np.unique(size.min(axis=-1)).tolist() == [200, 201, 202, 203]
    limited = drawn(short_side_range=(200, 203), max_long_side=210).placement.size
    assert limited.max() == 210


def test_a_crop_has_the_short_side_and_an_even_place():
    placement = drawn(crop=(0.3, 0.6), short_sides=(200,), max_long_side=10**6).placement
    assert set(placement.window.min(axis=-1).reshape(-1)) <= {199, 200, 201}
    shares = placement.window / placement.size
    for axis, least in enumerate((0.3, 0.6)):
        values = shares[..., axis].reshape(-1)
        assert least - 0.02 < values.min() < least + 0.05 and 0.95 < values.max() <= 1
        assert values.mean() == pytest.approx((1 + least) / 2, abs=0.05)
    room = placement.size - placement.window
    places = (placement.corner / np.maximum(room, 1))[room > 20]
    assert places.min() < 0.05 and places.max() > 0.95 and places.mean() == pytest.approx(0.5, abs=0.05)
    ratio = placement.size[..., 0] / placement.size[..., 1]
    np.testing.assert_allclose(ratio, HEIGHT / WIDTH, rtol=0.02)


def test_large_scale_jitter_fits_the_canvas():
    placement = drawn(canvas=256, jitter_scales=(0.25, 1.5)).placement
    long = placement.size.max(axis=-1) / 256
    assert 0.25 <= long.min() < 0.3 and 1.4 < long.max() <= 1.5
    np.testing.assert_array_equal(placement.window, np.minimum(placement.size, 256))
    assert placement.corner.any() and not placement.corner[placement.size <= 256].any()


def test_switching_one_augmentation_on_leaves_the_draws_of_others():
    plain, all_on = drawn(), drawn(crop=(0.5, 0.5), **ALL_COLOURS)
    np.testing.assert_array_equal(plain.placement.flip, all_on.placement.flip)
    one = drawn(hue=0.1)
    np.testing.assert_array_equal(one.others["hue"], all_on.others["hue"])
    np.testing.assert_array_equal(one.placement.size, plain.placement.size)


def test_colours_are_drawn_evenly_from_their_ranges():
    others = drawn(**ALL_COLOURS).others
    for name, low, high in (
        ("brightness", 0.6, 1.4),
        ("contrast", 0.7, 1.3),
        ("saturation", 0, 2.5),
        ("hue", -0.1, 0.1),
    ):
        values, extent = others[name], high - low
        assert values.dtype == np.float32 and values.shape == (STEPS, BATCH)
        assert low <= values.min() < low + 0.05 * extent and high - 0.05 * extent < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.08 * extent)


def record_of(boxes, crowds=()):
    return {
        "trainable": tf.constant(len(boxes), tf.int64),
        "is_crowd": tf.constant([row in crowds for row in range(len(boxes))], tf.int64),
        "boxes": tf.constant(np.asarray(boxes, "<f8").tobytes()),
    }


def test_a_crop_that_keeps_an_object_holds_its_centre():
    rng = np.random.default_rng(3)
    for _ in range(200):
        size = rng.integers(1, 90, 2)
        window = rng.integers(1, size + 1)
        corner = rng.integers(0, size - window + 1)
        flip, original = bool(rng.integers(2)), rng.integers(1, 60, 2)
        box = [*(rng.random(2) * original[::-1]), 1.0, 2.0]
        box[2:] = np.minimum(box[2:], original[::-1] - box[:2])
        placement = Placement(*(tf.constant([part], tf.int32) for part in (size, corner, window)), tf.constant([flip]))
        others = {"object": tf.constant(rng.random((1, 3)), tf.float32)}
        stored = [record_of([box, [0, 0, 9, 9]], crowds=(1,))]
        found = augment.settle(placement, others, stored, tf.constant([original], tf.int32))
        (top, left), (height, width) = found.corner[0].numpy(), window
        assert 0 <= top <= size[0] - height and 0 <= left <= size[1] - width
        x, y = (np.array(box[:2]) + np.array(box[2:]) / 2) * size[::-1] / original[::-1]
        x = size[1] - x if flip else x
        assert left - 1e-6 <= x <= left + width + 1e-6 and top - 1e-6 <= y <= top + height + 1e-6


def test_a_crop_that_keeps_an_object_reaches_all_objects_and_places():
    boxes = [[10, 10, 4, 4], [60, 70, 4, 4]]
    pair = tf.constant([[100, 100]])
    placement = Placement(pair, tf.constant([[3, 4]]), tf.constant([[20, 20]]), tf.constant([False]))
    corners = np.array(
        [
            augment.settle(placement, {"object": tf.constant([[a, b, c]])}, [record_of(boxes)], pair).corner[0]
            for a in (0.0, 0.49, 0.5, 1.0)
            for b in (0.0, 1.0)
            for c in (0.0, 1.0)
        ]
    )
    assert {tuple(corner) for corner in corners[:8]} == {(0, 0), (0, 12), (12, 0), (12, 12)}
    assert {tuple(corner) for corner in corners[8:]} == {(53, 43), (53, 62), (72, 43), (72, 62)}
    for boxes, crowds in (([], ()), ([[10, 10, 4, 4]], (0,))):  # without objects the window is where it was drawn
        stored = [record_of(boxes, crowds)]
        found = augment.settle(placement, {"object": tf.constant([[0.5, 0.5, 0.5]])}, stored, pair)
        assert found.corner.numpy().tolist() == [[3, 4]]
