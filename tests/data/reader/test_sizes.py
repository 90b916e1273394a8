import numpy as np
import pytest

from awsdet.data.reader.sizes import resize_plan


@pytest.mark.parametrize(
    "size, expected",
    [
        ((480, 640), (800, 1067)),  # the common COCO image
        ((640, 480), (1067, 800)),
        ((426, 640), (800, 1202)),
        ((200, 640), (417, 1333)),  # the long side decides
        ((1, 3000), (1, 1333)),  # a side never becomes 0
        ((1600, 1600), (800, 800)),
    ],
)
def test_resize_plan_keeps_the_ratio_within_both_limits(size, expected):
    assert resize_plan(*size, 800, 1333) == expected


def test_resize_plan_of_arrays_is_that_of_each_image():
    heights, widths = np.array([480, 640, 333]), np.array([640, 480, 500])
    planned = resize_plan(heights, widths, np.array([800, 640, 700]), 1333)
    expected = [resize_plan(480, 640, 800, 1333), resize_plan(640, 480, 640, 1333), resize_plan(333, 500, 700, 1333)]
    assert list(zip(*planned)) == expected
