"""From pixels and polygons to COCO's form, against pycocotools."""

import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.formats.translated import from_box, from_numbers, from_polygons


@pytest.mark.parametrize(
    "height, width, most", [(1, 1, 1), (1, 9, 3), (9, 1, 3), (7, 5, 2), (16, 24, 5), (16, 24, 300)]
)
def test_all_objects_of_a_mask_of_numbers(height, width, most):
    draws = np.random.default_rng(height * width + most)
    for _ in range(30):
        values = draws.integers(0, most + 1, (height, width)) * draws.integers(0, 2, (height, width))
        if draws.random() < 0.5:  # large areas too, so that runs go on in the next column
            values[:, draws.integers(width) :] = draws.integers(0, most + 1)
        found = from_numbers(values)
        assert sorted(found) == sorted(set(values.ravel().tolist()) - {0})
        for number, shape in found.items():
            pixels = np.asfortranarray(values == number, np.uint8)
            rle = coco_mask.encode(pixels)
            assert coco_mask.frPyObjects(shape.segmentation, height, width) == rle
            assert shape.box == coco_mask.toBbox(rle).tolist() and shape.area == coco_mask.area(rle)


def test_a_mask_without_an_object():
    assert from_numbers(np.zeros((3, 4), np.int32)) == {}


def test_polygons_have_the_box_of_all_and_the_sum_of_their_areas():
    shape = from_polygons([[0, 0, 4, 0, 4, 2], [10, 10, 10, 12, 9, 12, 9, 10]])  # once each way around
    assert (shape.box, shape.area) == ([0, 0, 10, 12], 4 + 2)


@pytest.mark.parametrize("polygons", [[], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1, 2, math.nan, 4, 5, 6]]])
def test_polygons_without_a_box_are_passed_on(polygons):
    shape = from_polygons(polygons)
    assert shape.box is None and shape.area is None and str(shape.segmentation) == str(polygons)


def test_a_box_has_its_area():
    assert from_box(1.5, 2, 3, 4) == ([1.5, 2, 3, 4], 12, None)
