"""The plain resize against numbers computed by hand."""

import numpy as np

from awsdet.ops.placement import Placement, whole
from awsdet.ops.reference import resize as plain


def resize(image, size, flip, padded=None):
    return plain.resize([image], whole([size])._replace(flip=[flip]), padded)[0]


def test_bilinear_between_pixel_centres():
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    resized = resize(image, [2, 4], False).numpy()
    assert resized[0, :, 0].tolist() == [0, 25, 75, 100]
    assert resize(image, [2, 4], True).numpy()[0, :, 0].tolist() == [100, 75, 25, 0]


def test_halves_round_up_and_padding_is_zero():
    image = np.full((1, 2, 3), 7, np.uint8)
    image[:, 1] = 8
    assert resize(image, [2, 1], False, [3, 3]).numpy()[:, :, 2].tolist() == [[8, 0, 0], [8, 0, 0], [0, 0, 0]]


def test_flipped_image_is_the_mirror_of_the_unflipped_one():
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    plain, flipped = (resize(image, [61, 88], flip).numpy().astype(int) for flip in (False, True))
    assert np.abs(flipped - plain[:, ::-1]).max() <= 1  # sums in another order may round the other way
    assert plain.shape == (61, 88, 3)


def test_a_batch_of_images_of_all_sizes():
    images = [np.full((height, width, 3), value, np.uint8) for height, width, value in ((2, 3, 9), (5, 1, 8))]
    batch = plain.resize(images, whole([[1, 4], [3, 2]])._replace(flip=[False, True])).numpy()
    assert batch[0, :, :, 1].tolist() == [[9] * 4, [0] * 4, [0] * 4]
    assert batch[1, :, :, 1].tolist() == [[8, 8, 0, 0]] * 3


def test_a_window_lies_at_the_top_left():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1).repeat(3, axis=2)
    placement = Placement([[3, 4]], [[1, 0]], [[2, 3]], [True])
    batch = plain.resize([image], placement, [3, 4]).numpy()
    assert batch[0, :, :, 0].tolist() == [[7, 6, 5, 0], [11, 10, 9, 0], [0] * 4]
