"""The same masks in many dresses; what is no mask, by its name."""

import base64
import collections

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco.anomalies import KINDS
from awsdet.data.coco.masks import NO_MASK, decompress_counts, plain_mask, read_mask, run_lengths

HEIGHT, WIDTH = 40, 60
SQUARE = [10, 8, 30, 8, 30, 24, 10, 24]
OTHER = [40, 8, 50, 8, 50, 24]
POINTS = [[10, 8], [30, 8], [30, 24], [10, 24]]


def bitmap(*polygons):
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(list(polygons), HEIGHT, WIDTH))).astype(bool)


def text_of(mask):
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


def code(counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size), "counts": counts}


def read(segmentation):
    """(Mask, kinds) of a segmentation."""
    kinds = collections.Counter()
    mask = read_mask(segmentation, HEIGHT, WIDTH, lambda kind, _="": kinds.update([kind]))
    assert set(kinds) <= set(KINDS)
    return mask, dict(kinds)


RUNS = run_lengths(bitmap(SQUARE))
TEXT = text_of(bitmap(SQUARE)).decode()


@pytest.mark.parametrize("white", [1, True, 1.0, 255])
@pytest.mark.parametrize("density", [0.01, 0.5, 1.0])
def test_rows_of_pixels_are_a_mask_and_no_polygons(white, density):
    pixels = np.random.default_rng(3).random((HEIGHT, WIDTH)) < density
    rows = [[white * bool(pixel) for pixel in row] for row in pixels]
    assert plain_mask(rows, HEIGHT, WIDTH) is None
    mask, kinds = read(rows)
    assert mask.counts == run_lengths(pixels) and kinds == {"mask_form": 1}


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 1] * (WIDTH // 2)] * (HEIGHT - 1),  # a row is missing
        [[0, 1] * (WIDTH // 2)] * (HEIGHT - 1) + [[0, 1]],
        [[0, 2] * (WIDTH // 2)] * HEIGHT,
        [[0, 1, 255] * (WIDTH // 3)] * HEIGHT,
        [["0", "1"] * (WIDTH // 2)] * HEIGHT,
        [[0, None] * (WIDTH // 2)] * HEIGHT,
        [[0, [1]] * (WIDTH // 2)] * HEIGHT,
    ],
)
def test_what_is_no_mask_of_pixels_is_not_read_as_one(rows):
    mask, kinds = read(rows)
    assert mask.counts is None and kinds


def test_rows_of_zeros_are_an_empty_mask():
    mask, kinds = read([[0] * WIDTH] * HEIGHT)
    assert mask == NO_MASK and "mask_empty" in kinds


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_compressed_text_gives_the_runs_of_the_mask(density):
    mask = np.random.default_rng(1).random((40, 60)) < density
    assert decompress_counts(text_of(mask).decode()) == run_lengths(mask)


@pytest.mark.parametrize("text", ["%", "P", "o" * 40, "o" * 100_000 + "1", "é"])
def test_text_that_is_no_rle_is_refused(text):
    with pytest.raises(ValueError):
        decompress_counts(text)


DRESSED_POLYGONS = {
    "flat": (SQUARE, None),
    "list of one": ([SQUARE], None),
    "closed": ([[*SQUARE, 10, 8]], None),
    "points": (POINTS, "mask_form"),
    "list of points": ([POINTS], "mask_form"),
    "points as objects": ([{"x": x, "y": y} for x, y in POINTS], "mask_form"),
    "list of points as objects": ([[{"x": x, "y": y} for x, y in POINTS]], "mask_form"),
    "in a further list": ([[SQUARE]], "mask_form"),
    "in two further lists": ([[[SQUARE]]], "mask_form"),
    "numbers as text": ([[str(number) for number in SQUARE]], "number_text"),
    "exponents as text": ([["1e1", "8.0", "+30", " 8", "30.", "24", "10", "24"]], "number_text"),
    "points as text": ([[[str(x), str(y)] for x, y in POINTS]], "mask_form"),
}


@pytest.mark.parametrize("dress", DRESSED_POLYGONS)
def test_polygons_in_any_dress(dress):
    segmentation, kind = DRESSED_POLYGONS[dress]
    mask, kinds = read(segmentation)
    assert len(mask.polygons) == 1 and mask.polygons[0][:8] == SQUARE and mask.counts is None
    assert mask.bounds == (10, 8, 30, 24) and mask.area == 320
    assert (kind in kinds) if kind else kinds == {}


def test_several_polygons_in_any_dress():
    others = [[40, 8], [50, 8], [50, 24]]
    for segmentation in ([SQUARE, OTHER], [POINTS, others], [[SQUARE], [OTHER]], [[POINTS], OTHER]):
        mask, _ = read(segmentation)
        assert mask.polygons == [SQUARE, OTHER] and mask.bounds == (10, 8, 50, 24) and mask.area == 320 + 80


DRESSED_RUNS = {
    "plain": (code(RUNS), None),
    "compressed": (code(TEXT), None),
    "compressed bytes": (code(TEXT.encode()), None),
    "whole floats": (code([float(run) for run in RUNS]), None),
    "size as text": (code(RUNS, (str(HEIGHT), str(WIDTH))), None),
    "bytes that Python printed": (code(str(TEXT.encode())), "mask_form"),
    "runs as text": (code(" ".join(map(str, RUNS))), "mask_form"),
    "list of runs as text": (code(str(RUNS)), "mask_form"),
    "texts of numbers": (code([str(run) for run in RUNS]), None),
    "in a list": ([code(TEXT)], "mask_form"),
    "in two lists": ([[code(RUNS)]], "mask_form"),
    "its halves": (
        [code(run_lengths(bitmap(SQUARE) & (np.arange(WIDTH) % 2 == part))) for part in (0, 1)],
        "mask_form",
    ),
    "a copy of itself": ([code(TEXT), code(RUNS)], "mask_form"),
    "beside a polygon": ([code(TEXT), [12, 10, 20, 10, 20, 20]], "mask_form"),
}


@pytest.mark.parametrize("dress", DRESSED_RUNS)
def test_run_lengths_in_any_dress(dress):
    segmentation, kind = DRESSED_RUNS[dress]
    mask, kinds = read(segmentation)
    assert mask.counts == RUNS and mask.polygons == []
    assert mask.bounds == (10, 8, 30, 24) and mask.area == 320
    assert kinds == ({kind: 1} if kind else {})


def test_a_backslash_of_compressed_text_survives_being_printed():
    masks = (np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.02 for seed in range(200))
    mask = next(mask for mask in masks if b"\\" in text_of(mask))
    assert read(code(str(text_of(mask))))[0].counts == run_lengths(mask)


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0").decode()
NOT_MASKS = {
    "none": (None, {"mask_absent"}),
    "empty list": ([], {"mask_absent"}),
    "empty object": ({}, {"mask_absent"}),
    "empty text": ("", {"mask_absent"}),
    "empty nest": ([[]], {"mask_absent"}),
    "deep empty nest": ([[[]], [[[]]]], {"mask_absent"}),
    "nothing in a list": ([None], {"polygon_not_numbers", "mask_dropped"}),
    "PNG": (PNG, {"mask_png"}),
    "PNG as data address": ("data:image/png;base64," + PNG, {"mask_png"}),
    "PNG in a list": ([PNG], {"mask_png"}),
    "PNG in an object": ({"size": [HEIGHT, WIDTH], "data": PNG}, {"mask_png"}),
    "PNG as counts": (code(PNG), {"mask_png"}),
    "file name": ("masks/7.png", {"mask_text"}),
    "text in a list": (["10 8 30 8 30 24"], {"mask_text"}),
    "blank text": (" ", {"mask_absent"}),
    "lists as text": ("[[1, 2, 3, 4, 5, 6]]", {"mask_text"}),
    "two corners": ([[10, 8, 30, 24]], {"polygon_box", "mask_dropped"}),
    "two corners, flat": ([10, 8, 30, 24], {"polygon_box", "mask_dropped"}),
    "two points": ([[10, 8], [30, 24]], {"polygon_box", "mask_dropped"}),
    "one point": ([[10, 8]], {"polygon_short", "mask_dropped"}),
    "keypoints": ([[10, 8, 2], [30, 24, 2]], {"polygon_odd", "mask_dropped"}),
    "odd": ([SQUARE[:7]], {"polygon_odd", "mask_dropped"}),
    "not a number": ([[*SQUARE[:7], float("nan")]], {"polygon_not_numbers", "mask_dropped"}),
    "infinite": ([[*SQUARE[:7], float("-inf")]], {"polygon_not_numbers", "mask_dropped"}),
    "null": ([[*SQUARE[:7], None]], {"polygon_not_numbers", "mask_dropped"}),
    "underscores": ([[*SQUARE[:7], "2_4"]], {"polygon_not_numbers", "mask_dropped"}),
    "commas": ([[*SQUARE[:7], "2,4"]], {"polygon_not_numbers", "mask_dropped"}),
    "numbers beside lists": ([10, 8, [30, 8]], {"polygon_not_numbers", "polygon_short", "mask_dropped"}),
    "object": ({"polygons": [SQUARE]}, {"polygon_not_numbers", "mask_dropped"}),
    "no area": ([[10, 8, 30, 8, 20, 8]], {"mask_empty"}),
    "no area, aslant": ([[10, 8, 20, 16, 30, 24, 15, 12]], {"mask_empty"}),
    "one point thrice": ([[10, 8] * 3], {"mask_empty"}),
    "beside the image": ([[70, 8, 80, 8, 80, 20]], {"mask_empty"}),
    "far outside": ([[1e9, 8, 2e9, 8, 2e9, 20]], {"polygon_outside", "mask_dropped"}),
    "turned": (code(run_lengths(bitmap(SQUARE).T), (WIDTH, HEIGHT)), {"rle_turned", "mask_dropped"}),
    "another image's": (code([100 * 80 - 5, 5], (80, 100)), {"rle_invalid", "mask_dropped"}),
    "no size": ({"counts": RUNS}, {"rle_invalid", "mask_dropped"}),
    "no counts": ({"size": [HEIGHT, WIDTH], "counts": None}, {"rle_invalid", "mask_dropped"}),
    "empty counts": (code([]), {"rle_invalid", "mask_dropped"}),
    "empty text of counts": (code(""), {"rle_invalid", "mask_dropped"}),
    "fractions": (code([0.5, HEIGHT * WIDTH - 0.5]), {"rle_invalid", "mask_dropped"}),
    "negative": (code([-5, HEIGHT * WIDTH + 5]), {"rle_invalid", "mask_dropped"}),
    "sum of 2^32": (code([2**32, HEIGHT * WIDTH]), {"rle_invalid", "mask_dropped"}),
    "sum of 2^64": (code([2**63, 2**63, HEIGHT * WIDTH]), {"rle_invalid", "mask_dropped"}),
    "infinite counts": (code([float("inf")]), {"rle_invalid", "mask_dropped"}),
    "no pixel": (code([HEIGHT * WIDTH]), {"mask_empty"}),
    "runs of no pixel": (code([5, 0, HEIGHT * WIDTH - 5]), {"mask_empty"}),
}


@pytest.mark.parametrize("dress", NOT_MASKS)
def test_what_is_no_mask_is_named(dress):
    segmentation, expected = NOT_MASKS[dress]
    mask, kinds = read(segmentation)
    assert mask == NO_MASK and set(kinds) == expected
    assert plain_mask(segmentation, HEIGHT, WIDTH) is None


@pytest.mark.parametrize(
    "bad, kind",
    [
        ([1, 2, 3, 4], "polygon_box"),
        ([1, 2], "polygon_short"),
        ([], "polygon_short"),
        (None, "polygon_not_numbers"),
        ("x", "polygon_not_numbers"),
        ([1, 2, 3, 4, 5], "polygon_odd"),
        ([1, 2, 3, 4, 5, float("nan")], "polygon_not_numbers"),
        (code([5, 5]), "rle_invalid"),
        ([1e9] * 6, "polygon_outside"),
    ],
)
def test_one_bad_part_goes_and_the_good_ones_stay(bad, kind):
    for segmentation in ([bad, SQUARE, OTHER], [SQUARE, OTHER, bad]):
        mask, kinds = read(segmentation)
        assert mask.polygons == [SQUARE, OTHER] and kinds.pop(kind) == 1 and set(kinds) <= {"mask_form"}


def test_a_bad_code_goes_and_the_good_ones_stay():
    mask, kinds = read([code([5, 5]), code(TEXT)])
    assert mask.counts == RUNS and kinds == {"rle_invalid": 1, "mask_form": 1}


def test_a_polygon_without_area_stays_beside_one_that_has_some():
    line = [1, 1, 5, 5, 3, 3]
    mask, kinds = read([line, SQUARE])
    assert mask.polygons == [line, SQUARE] and kinds == {}


def test_a_bow_tie_is_a_mask():
    """Its lobes have the areas 50 and -50."""
    tie = [10, 10, 30, 20, 30, 10, 10, 20]
    mask, kinds = read([tie])
    assert mask.polygons == [tie] and mask.bounds == (10, 10, 30, 20) and kinds == {} and bitmap(tie).any()


def test_lists_of_any_depth_end():
    nest = SQUARE
    for _ in range(900):
        nest = [nest]
    assert read(nest) == (NO_MASK, {"polygon_not_numbers": 1, "mask_dropped": 1})


@pytest.mark.parametrize("far", [121, 1e4, 1e9, 2e9, 1e15, 1e300, 1.7e308, 2**63, 10**308])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_polygon_far_out_is_cut_and_shows_the_same_in_the_image(far, sign):
    """A triangle with two corners in the image and one far out: the straight lines to it must keep their directions."""
    polygon = [10, 8, 30, 30, sign * far, 20]
    mask, kinds = read([polygon])
    (left,) = mask.polygons
    assert kinds == {"polygon_far": 1}
    assert min(left[0::2]) >= -WIDTH and max(left[0::2]) <= 2 * WIDTH
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    points = np.array([[10, 8], [30, 30], [sign * min(float(far), 1e7), 20]])
    inside = np.ones((HEIGHT, WIDTH), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0)):
        inside &= ((x1 - x0) * (rows - y0) - (y1 - y0) * (columns - x0)) * -sign >= 0
    assert (bitmap(left) ^ inside).mean() < 0.03  # pixels on the outline


def test_a_slight_overhang_stays_as_it_is():
    polygon = [-WIDTH, 8.25, 2 * WIDTH, 8.5, 30, 2 * HEIGHT]
    mask, kinds = read([polygon])
    assert mask.polygons == [polygon] and kinds == {}


def test_bounds_of_run_lengths_are_those_of_their_pixels():
    rng = np.random.default_rng(0)
    for _ in range(100):
        mask = rng.random((7, 9)) < rng.choice([0.02, 0.1, 0.9])
        if not mask.any():
            continue
        rows, columns = np.nonzero(mask)
        found = read_mask(code(run_lengths(mask), mask.shape), *mask.shape, None)
        assert found.bounds == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert found.area == mask.sum()
