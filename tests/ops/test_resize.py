"""The compiled resize against its twin in TensorFlow (which has its own test), and from the definition."""

import numpy as np
import pytest
import tensorflow as tf

from awsdet.ops import library
from awsdet.ops import resize as compiled
from awsdet.ops.placement import Placement, whole
from awsdet.ops.reference import resize as plain


def resize_one(module, image, size, flip, padded=None):
    """One whole image in a batch of its own."""
    return module.resize([image], whole([size])._replace(flip=[flip]), padded).numpy()[0]


def random_picture(rng, height, width):
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_twin_in_every_pixel(seed):
    """Sides of 1 to 300 to sides of 1 to 300, larger and smaller, mirrored and not, padded and not."""
    rng = np.random.default_rng(seed)
    for _ in range(25):
        height, width, *size = np.exp(rng.uniform(0, np.log(300), 4)).astype(int)
        image, flip = random_picture(rng, height, width), bool(rng.integers(2))
        padded = [side + int(rng.integers(0, 3) * rng.integers(0, 40)) for side in size]
        found = resize_one(compiled, image, size, flip, padded)
        np.testing.assert_array_equal(found, resize_one(plain, image, size, flip, padded))


@pytest.mark.parametrize("old, new", [((480, 640), (800, 1067)), ((427, 640), (256, 384)), ((1200, 900), (683, 512))])
def test_sizes_of_training(old, new):
    image = random_picture(np.random.default_rng(1), *old)
    padded = [-(-side // 32) * 32 for side in new]
    for flip in (False, True):
        found = resize_one(compiled, image, new, flip, padded)
        np.testing.assert_array_equal(found, resize_one(plain, image, new, flip, padded))


def resize_by_definition(image, size, flip):
    """The definition in float64: (values before rounding) [H, W, 3]."""
    image = image[:, ::-1] if flip else image
    values = image.astype(np.float64)
    for axis, new in enumerate(size):
        old = image.shape[axis]
        at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        lower = np.floor(at).astype(int)
        weight = (at - lower).reshape([-1 if a == axis else 1 for a in range(3)])
        upper = np.minimum(lower + 1, old - 1)
        values = values.take(lower, axis) * (1 - weight) + values.take(upper, axis) * weight
    return values


@pytest.mark.parametrize("flip", [False, True])
def test_is_the_definition_rounded(flip):
    image = random_picture(np.random.default_rng(2), 53, 91)
    for size in ((97, 150), (53, 91), (20, 33), (1, 1), (2000, 3)):
        found, values = resize_one(compiled, image, size, flip), resize_by_definition(image, size, flip)
        assert np.abs(found - values).max() <= 0.5 + 0.02  # float32 places, on an axis of up to 2000


def test_one_pixel_and_extreme_values():
    for value in (0, 1, 255):
        image = np.full((1, 1, 3), value, np.uint8)
        found = resize_one(compiled, image, [5, 70], True, [6, 96])
        assert (found[:5, :70] == value).all() and not found[5:].any() and not found[:, 70:].any()
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = 255
    np.testing.assert_array_equal(resize_one(compiled, image, [64, 64], False), image)
    np.testing.assert_array_equal(resize_one(compiled, image, [64, 64], True), image[:, ::-1])


def test_a_batch_is_its_images_one_by_one():
    """Images of all sizes, even a single pixel and a line, mirrored and not, in an unusually large batch."""
    rng = np.random.default_rng(4)
    old = [(30, 40), (1, 1), (64, 3), (2, 200), (97, 131)]
    size = [(45, 60), (7, 96), (96, 5), (1, 90), (20, 27)]
    images, flip = [random_picture(rng, *sides) for sides in old], [False, True, True, False, True]
    placement = whole(size)._replace(flip=flip)
    for padded in ([96, 96], [97, 101], [96, 128]):
        found = compiled.resize(images, placement, padded)
        assert found.shape == (5, *padded, 3)
        np.testing.assert_array_equal(found, plain.resize(images, placement, padded))
        for i in range(5):
            np.testing.assert_array_equal(found[i], resize_one(compiled, images[i], size[i], flip[i], padded))
    assert compiled.resize(images, placement).shape == plain.resize(images, placement).shape == (5, 96, 96, 3)


@pytest.mark.parametrize("shrunk", [1.0, 2.9, 3.4, 3.6, 4.1, 9.0])
def test_rows_that_shrink_a_lot(shrunk):
    """Scales just below and above that at which a vector of results needs more than one vector of the source."""
    rng = np.random.default_rng(5)
    for width in (700, 711, 2000):
        image, new = random_picture(rng, 5, width), [6, int(width / shrunk)]
        for flip in (False, True):
            found = resize_one(compiled, image, new, flip, [6, new[1] + 13])
            np.testing.assert_array_equal(found, resize_one(plain, image, new, flip, [6, new[1] + 13]))


def crop_placement(size, corner, window, flip=False):
    """The Placement of one image."""
    return Placement([size], [corner], [window], [flip])


@pytest.mark.parametrize("seed", range(4))
def test_a_crop_is_a_slice_of_the_whole_resized_image(seed):
    """To the last bit, for windows from one pixel to the whole image, strongly enlarged and shrunk."""
    rng = np.random.default_rng(seed)
    for _ in range(25):
        height, width, *size = np.exp(rng.uniform(0, np.log(400), 4)).astype(int)
        image, flip = random_picture(rng, height, width), bool(rng.integers(2))
        window = [int(rng.integers(1, side + 1)) for side in size]
        corner = [int(rng.integers(0, side - part + 1)) for side, part in zip(size, window)]
        padded = [side + int(rng.integers(0, 3) * rng.integers(0, 40)) for side in window]
        expected = np.zeros((*padded, 3), np.uint8)
        rows, columns = (slice(at, at + part) for at, part in zip(corner, window))
        expected[: window[0], : window[1]] = resize_one(compiled, image, size, flip)[rows, columns]
        for module in (compiled, plain):
            found = module.resize([image], crop_placement(size, corner, window, flip), padded)[0]
            np.testing.assert_array_equal(found, expected)


def test_wrong_arguments_are_named():
    image, refused = np.zeros((4, 5, 3), np.uint8), tf.errors.InvalidArgumentError
    good = crop_placement([6, 7], [1, 2], [3, 3])
    for wrong in (image[:0], image[:, :0], image[:, :, :1], image[0]):
        with pytest.raises(refused, match=r"image must be \[h, w, 3\]"):
            compiled.resize([image, wrong], whole([[3, 3], [3, 3]]), [9, 9])
    for part in ("size", "window"):
        for value in ([0, 3], [3, -1]):
            with pytest.raises(refused, match=f"{part} must be 1 x 1 at least"):
                compiled.resize([image], good._replace(**{part: [value]}), [9, 9])
    for part in ("size", "corner", "window"):
        for value in ([3, 3], [[3]], [[3, 3], [3, 3]]):
            with pytest.raises(refused, match=rf"{part} must be \[1, 2\]"):
                compiled.resize([image], good._replace(**{part: value}), [9, 9])
    for corner in ([4, 2], [1, 5], [-1, 0], [0, -1], [2**31 - 1, 0]):
        with pytest.raises(refused, match=r"window 3 x 3 at corner \(.*\) does not lie in the resized image, 6 x 7"):
            compiled.resize([image], good._replace(corner=[corner]), [9, 9])
    with pytest.raises(refused, match=r"padded must be \[2\]"):
        compiled.resize([image], good, [9, 9, 3])
    with pytest.raises(refused, match="padded is 9 x 2, which is less than window, 3 x 3"):
        compiled.resize([image], good, [9, 2])
    for flip in (True, [True, False]):
        with pytest.raises(refused, match=r"flip must be \[1\]"):
            compiled.resize([image], good._replace(flip=flip), [9, 9])


def test_shapes_in_a_graph():
    operator = library.load().awsdet_resize

    @tf.function(input_signature=[tf.TensorSpec(None, tf.uint8), tf.TensorSpec(None, tf.int32)])
    def unknown(image, size):
        where = {"size": [size, size], "corner": [[0, 0]] * 2, "window": [size, size], "flip": [False, False]}
        resized = operator([image, image], **where, padded=size)
        assert resized.shape.as_list() == [2, None, None, 3]
        return resized

    image = random_picture(np.random.default_rng(3), 4, 6)
    np.testing.assert_array_equal(unknown(image, [4, 6])[1], image)

    @tf.function
    def known(image):
        resized = compiled.resize([image], whole([[7, 9]]), [8, 16])
        assert resized.shape.as_list() == [1, 8, 16, 3]
        return resized

    assert known(image).shape == (1, 8, 16, 3)
    with pytest.raises(ValueError, match="must be 3"):
        known(tf.zeros([4, 5, 1], tf.uint8))
