"""What pycocotools is given: it crashes on far numbers, and never ends on NaN or on runs that do not fit."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco.rle import run_lengths, to_rle

HEIGHT, WIDTH = 48, 64
SQUARE = [10, 8, 30, 8, 30, 24, 10, 24]
FULL = HEIGHT * WIDTH


def pixels(segmentation):
    return int(coco_mask.area(to_rle(segmentation, (HEIGHT, WIDTH))))


def test_sound_masks_are_those_of_pycocotools():
    polygons = [SQUARE, [40.5, 8.25, 50, 8, 50, 24]]
    expected = coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH))
    assert to_rle(polygons, (HEIGHT, WIDTH)) == expected
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.3
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    for counts in (code["counts"], code["counts"].decode(), run_lengths(mask)):
        assert to_rle({"size": [HEIGHT, WIDTH], "counts": counts}, (HEIGHT, WIDTH)) == code


@pytest.mark.parametrize(
    "number", [1e9, 1e15, 1e308, -1e9, -1e308, 2**31 / 5, float("nan"), float("inf"), float("-inf"), 5e-324]
)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_polygons_of_any_numbers_end_as_masks(number, place):
    polygon = [*SQUARE[:place], number, *SQUARE[place + 1 :]]
    assert 0 <= pixels([polygon, SQUARE]) <= FULL
    assert pixels([polygon, SQUARE]) >= pixels([SQUARE]) == 320


@pytest.mark.parametrize("polygons", [[], [[]], [[1, 2]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [[1e9] * 6]])
def test_what_is_no_polygon_is_an_empty_mask(polygons):
    assert pixels(polygons) == 0
    assert pixels([*polygons, SQUARE]) == 320


@pytest.mark.parametrize(
    "code",
    [
        {"size": [HEIGHT, WIDTH], "counts": [FULL + 1]},
        {"size": [HEIGHT, WIDTH], "counts": [3, 4_000_000_000]},
        {"size": [HEIGHT, WIDTH], "counts": [2**63, 2**63]},
        {"size": [HEIGHT, WIDTH], "counts": [-1, FULL + 1]},
        {"size": [HEIGHT, WIDTH], "counts": []},
        {"size": [HEIGHT, WIDTH], "counts": "o" * 400},
        {"size": [HEIGHT, WIDTH], "counts": b"PPPPPP"},
        {"size": [WIDTH, HEIGHT], "counts": [FULL]},
    ],
)
def test_runs_that_do_not_fit_are_refused(code):
    with pytest.raises(ValueError):
        to_rle(code, (HEIGHT, WIDTH))
