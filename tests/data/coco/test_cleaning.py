import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco import cleaning
from awsdet.data.coco.anomalies import KINDS, Anomalies
from awsdet.data.coco.cleaning import clean_annotations
from awsdet.data.coco.masks import read_mask, run_lengths
from awsdet.data.coco.rle import to_rle
from tests.data.coco.test_annotations import HEIGHT, TRIANGLE, WIDTH, annotation
from tests.ops import fuzz


def clean(*annotations):
    found = Anomalies()
    return clean_annotations(annotations, HEIGHT, WIDTH, {5: 2}, found), found.counts


def test_a_sound_annotation_keeps_its_numbers():
    (cleaned,), counts = clean(annotation(segmentation=[TRIANGLE, [11, 12, 13, 14, 15, 16.125]]))
    assert counts == {}
    assert (cleaned.id, cleaned.class_index, cleaned.bbox, cleaned.area) == (7, 2, (10, 10, 20, 20), 200.5)
    assert cleaned.polygons == [TRIANGLE, [11, 12, 13, 14, 15, 16.125]]
    assert cleaned.trainable and not cleaned.is_crowd and cleaned.counts is None


def test_a_short_part_goes_and_the_object_stays():
    (cleaned,), counts = clean(annotation(segmentation=[[1, 1, 2, 2], TRIANGLE]))
    assert cleaned.polygons == [TRIANGLE] and counts == {"polygon_box": 1}


@pytest.mark.parametrize("bbox", [[10, 10, 0, 20], [10, 10, 20, 0.5], [70, 10, 5, 5], [59.5, 0, 9, 9], [10, 10, -4, 9]])
def test_degenerate_boxes_without_a_mask_are_for_evaluation_only(bbox):
    (cleaned,), counts = clean(annotation(bbox=bbox, segmentation=[]))
    assert not cleaned.trainable and cleaned.bbox == tuple(bbox)
    assert counts == {"mask_absent": 1, "box_degenerate": 1}


def test_a_box_that_reaches_out_is_counted_and_kept():
    (cleaned,), counts = clean(annotation(bbox=[50, 10, 20, 20], segmentation=[[50, 10, 70, 10, 70, 30, 50, 30]]))
    assert cleaned.trainable and cleaned.bbox == (50, 10, 20, 20) and counts == {"box_clipped": 1}
    rounded = annotation(bbox=[50, 10, 10.5, 20], segmentation=[[50, 10, 60, 10, 60, 30, 50, 30]])
    assert clean(rounded)[1] == {}  # rounding of the annotation tool


def test_missing_parts_are_filled_in():
    (cleaned,), counts = clean(annotation(segmentation=[]))
    assert (cleaned.polygons, cleaned.counts, counts) == ([], None, {"mask_absent": 1})
    without_area = {k: v for k, v in annotation().items() if k != "area"}
    (cleaned,), counts = clean(without_area)
    assert cleaned.area == 200 and counts == {"area_absent": 1}  # of the triangle
    (cleaned,), _ = clean({**without_area, "segmentation": None})
    assert cleaned.area == 400  # of the box
    without_crowd = {k: v for k, v in annotation().items() if k != "iscrowd"}
    assert not clean(without_crowd)[0][0].is_crowd


def test_crowds_come_after_objects_and_evaluation_only_last():
    cleaned, _ = clean(
        annotation(id=1, iscrowd=1),
        annotation(id=2, bbox=[0, 0, 0, 0], segmentation=[]),
        annotation(id=3),
        annotation(id=4),
    )
    assert [a.id for a in cleaned] == [3, 4, 1, 2]
    assert [a.order for a in cleaned] == [2, 3, 0, 1]


def test_a_flat_polygon_list_is_one_polygon():
    assert clean(annotation(segmentation=TRIANGLE))[0][0].polygons == [TRIANGLE]


@pytest.mark.parametrize("as_text", [False, True])
def test_run_lengths_are_read_compressed_and_plain(as_text):
    mask = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.5
    text = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    segmentation = {"size": [HEIGHT, WIDTH], "counts": text if as_text else run_lengths(mask)}
    whole = annotation(iscrowd=1, bbox=[0, 0, WIDTH, HEIGHT], area=int(mask.sum()), segmentation=segmentation)
    (cleaned,), kinds = clean(whole)
    assert cleaned.counts == run_lengths(mask) and cleaned.is_crowd and kinds == {}


# ------------------------------------------------------------------------------------- one bad half, and the other half

BAD_MASKS = {
    "two points": [[1, 1, 5, 5]],
    "odd": [[1, 1, 5, 5, 7, 8, 9]],
    "not finite": [[1, 1, 5, 5, 7, float("nan")]],
    "not numbers": [[1, 1, 5, 5, 7, None]],
    "true is no number": [[1, 1, 5, 5, 7, True]],
    "runs that do not fit": {"size": [HEIGHT, WIDTH], "counts": [5, 5]},
    "negative runs": {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]},
    "huge runs": {"size": [HEIGHT, WIDTH], "counts": [2**63, 2**64]},
    "turned": {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH - 5, 5]},
    "no RLE": {"size": None, "counts": None},
    "no text of an RLE": {"size": [HEIGHT, WIDTH], "counts": "%%"},
    "a file": "mask.png",
    "a number": 5,
    "true": True,
    "no pixel": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]},
    "outside": [[100, 10, 110, 10, 110, 30]],
    "a line": [[10, 10, 20, 20, 30, 30]],
    "empty": [[]],
}
BAD_BOXES = {
    "missing": None,
    "empty": [],
    "short": [10, 10, 20],
    "nested": [[10, 10, 20, 20]],
    "text": "10,10,20,20",
    "words": ["a", "b", "c", "d"],
    "null": [10, 10, None, 20],
    "not a number": [10, 10, float("nan"), 20],
    "infinite": [10, 10, float("inf"), 20],
    "too large an integer": [10, 10, 10**400, 20],
    "true": [10, 10, True, 20],
    "object": {"x": 1},
    "no width": [10, 10, 0, 20],
    "no height": [10, 10, 20, 0],
    "negative": [30, 10, -20, 20],
    "outside": [70, 10, 5, 5],
    "far outside": [1e308, 10, 1e308, 20],
}


@pytest.mark.parametrize("segmentation", BAD_MASKS.values(), ids=BAD_MASKS)
def test_a_good_box_stays_without_a_bad_mask(segmentation):
    (cleaned,), kinds = clean(annotation(segmentation=segmentation))
    assert cleaned.bbox == (10, 10, 20, 20) and cleaned.trainable and cleaned.area == 200.5
    assert cleaned.polygons == [] and cleaned.counts is None
    assert kinds and set(kinds) <= set(KINDS)


@pytest.mark.parametrize("bbox", BAD_BOXES.values(), ids=BAD_BOXES)
@pytest.mark.parametrize("as_runs", [False, True])
def test_a_good_mask_stays_with_a_box_made_from_it(bbox, as_runs):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    runs = run_lengths((rows >= 12) & (rows < 30) & (columns >= 8) & (columns < 20))
    segmentation = {"size": [HEIGHT, WIDTH], "counts": runs} if as_runs else [TRIANGLE]
    (cleaned,), kinds = clean(annotation(bbox=bbox, segmentation=segmentation))
    assert cleaned.bbox == ((8, 12, 12, 18) if as_runs else (10, 10, 20, 20)) and cleaned.trainable
    assert (cleaned.counts == runs) if as_runs else (cleaned.polygons == [TRIANGLE])
    assert kinds["box_from_mask"] == 1 and set(kinds) <= {"box_from_mask", "box_far"}


def test_a_box_from_a_mask_ends_at_the_image():
    (cleaned,), _ = clean(annotation(bbox=[], segmentation=[[50, -3, 70, -3, 70, 30, 50, 30]]))
    assert cleaned.bbox == (50, 0, 10, 30)


@pytest.mark.parametrize("bbox", ["missing", "short", "text", "null", "not a number", "object"])
@pytest.mark.parametrize("mask", ["two points", "runs that do not fit", "a file", "empty", "no pixel"])
def test_an_object_whose_halves_are_both_bad_is_left_out(bbox, mask):
    bad = annotation(bbox=BAD_BOXES[bbox], segmentation=BAD_MASKS[mask])
    cleaned, kinds = clean(bad, annotation(id=8))
    assert [a.id for a in cleaned] == [8] and kinds["annotation_malformed"] == 1


def test_a_box_in_a_list_is_read_if_there_is_no_mask():
    (cleaned,), kinds = clean(annotation(bbox=[[10, 10, 20, 20]], segmentation=[]))
    assert cleaned.bbox == (10, 10, 20, 20) and kinds == {"mask_absent": 1, "box_nested": 1}


# -------------------------------------------------------------------------------------------------- counted by its name

CONTRADICTIONS = {
    "box_contradicts_mask": {"bbox": [40, 2, 15, 10]},
    "box_of_corners": {"bbox": [10, 10, 30, 30]},
    "area_contradicts_mask": {"area": 5},
    "number_text": {"area": "200.5"},
    "crowd_unknown": {"iscrowd": "maybe"},
    "annotation_flag": {"ignore": 1},
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_contradictions_are_counted_and_change_nothing(kind):
    changes = CONTRADICTIONS[kind]
    (cleaned,), kinds = clean(annotation(**changes))
    assert kinds == {kind: 1}
    assert cleaned.trainable and cleaned.polygons == [TRIANGLE] and not cleaned.is_crowd
    assert cleaned.bbox == tuple(changes.get("bbox", (10, 10, 20, 20))) and cleaned.area == float(
        changes.get("area", 200.5)
    )


@pytest.mark.parametrize(
    "value, is_crowd, counted",
    [
        (0, False, False),
        (1, True, False),
        (True, True, False),
        (False, False, False),
        (1.0, True, False),
        ("1", True, False),
        ("0", False, False),
        (None, False, False),
        (2, True, True),
        (-1, True, True),
        (float("nan"), False, True),
        ("yes", False, True),
        ([1], False, True),
    ],
)
def test_crowd_flags(value, is_crowd, counted):
    (cleaned,), kinds = clean(annotation(iscrowd=value))
    assert cleaned.is_crowd == is_crowd and kinds == ({"crowd_unknown": 1} if counted else {})


@pytest.mark.parametrize("flags", [{"ignore": 0}, {"difficult": False}, {"ignore": None}])
def test_flags_that_are_off_say_nothing(flags):
    assert clean(annotation(**flags))[1] == {}


@pytest.mark.parametrize(
    "area, kind, kept",
    [
        (-200.5, "area_negative", 200),
        (None, "area_absent", 200),
        (float("nan"), "area_unusable", 200),
        (float("inf"), "area_unusable", 200),
        (1e308, "area_unusable", 200),
        ("large", "area_unusable", 200),
        ([200], "area_unusable", 200),
        (10**400, "area_unusable", 200),
        (0, "area_contradicts_mask", 0),
        (450, "area_contradicts_mask", 450),
    ],
)
def test_areas(area, kind, kept):
    (cleaned,), kinds = clean(annotation(area=area))
    assert cleaned.area == kept and kinds == {kind: 1}


def test_the_area_of_a_part_inside_the_image_is_no_contradiction():
    beyond = annotation(bbox=[50, 10, 10, 20], area=200, segmentation=[[50, 10, 110, 10, 110, 30, 50, 30]])
    assert clean(beyond)[1] == {}


@pytest.mark.parametrize(
    "bbox, counted", [([30, 10, 50, 25], True), ([10, 10, 20, 20], False), ([2, 2, 70, 38], False)]
)
def test_corners_are_told_by_where_the_box_ends(bbox, counted):
    """Without a mask: x + w = 80 reaches out of the 60 px, and 50 does not. 70 is no corner in the image either."""
    _, kinds = clean(annotation(bbox=bbox, segmentation=[]))
    assert ("box_of_corners" in kinds) == counted


def test_shares_of_the_image_are_told():
    (cleaned,), kinds = clean(annotation(bbox=[0.1, 0.2, 0.3, 0.4], segmentation=[]))
    assert not cleaned.trainable and kinds == {"mask_absent": 1, "box_relative": 1, "box_degenerate": 1}
    (cleaned,), kinds = clean(annotation(bbox=[0.1, 0.2, 0.3, 0.4]))
    assert cleaned.bbox == (10, 10, 20, 20) and cleaned.trainable and set(kinds) == {"box_relative", "box_from_mask"}
    (cleaned,), kinds = clean(annotation(segmentation=[[0.2, 0.2, 0.5, 0.2, 0.5, 0.7]]))
    assert cleaned.polygons == [] and cleaned.trainable and kinds == {"polygon_relative": 1}
    (cleaned,), kinds = clean(annotation(bbox=[0, 0, 1, 1], area=1, segmentation=[[0, 0, 1, 0, 1, 1, 0, 1]]))
    assert cleaned.polygons and cleaned.trainable and kinds == {"box_relative": 1}  # the first pixel


def test_a_file_of_corners_or_shares_is_told_at_the_top():
    found = Anomalies()
    for kind in ("box_of_corners", "box_of_corners", "box_relative"):
        found.add(kind, "annotation")
    found.judge_file(4)
    assert not {"file_of_corners", "file_of_shares"} & set(found.counts)
    found.judge_file(3)
    assert found.examples["file_of_corners"] == ["2 of 3 boxes"] and "file_of_shares" not in found.counts
    assert "x1, y1, x2, y2" in found.table().splitlines()[0]


def test_duplicates_are_counted_and_kept():
    cleaned, kinds = clean(annotation(id=1), annotation(id=2), annotation(id=3, bbox=[10, 10, 20, 20.5]))
    assert [a.id for a in cleaned] == [1, 2, 3] and kinds == {"annotation_duplicate": 1}


# -------------------------------------------------------------------------------------------------- numbers of any size

EDGES = [
    0,
    1e9,
    -1e9,
    1e15,
    1e300,
    -1e300,
    1.7e308,
    -1.7e308,
    5e-324,
    -5e-324,
    float("inf"),
    float("nan"),
    2**63,
    10**400,
]


def test_no_number_leaves_the_limits():
    rng = np.random.default_rng(3)
    for _ in range(fuzz.CASES // 2):
        numbers = [
            EDGES[i] if rng.random() < 0.4 else float(rng.uniform(-5, 65)) for i in rng.integers(0, len(EDGES), 12)
        ]
        cleaned, kinds = clean(annotation(bbox=numbers[:4], area=numbers[4], segmentation=[numbers[4:]]))
        for one in cleaned:
            x, y, w, h = one.bbox
            for start, size, side in ((x, w, WIDTH), (y, h, HEIGHT)):
                assert -side <= start <= 2 * side and -side - 1e-9 <= start + size <= 2 * side + 1e-9
            assert 0 <= one.area <= 9 * WIDTH * HEIGHT
            for polygon in one.polygons:
                assert min(polygon[0::2]) >= -WIDTH and max(polygon[0::2]) <= 2 * WIDTH
                assert min(polygon[1::2]) >= -HEIGHT and max(polygon[1::2]) <= 2 * HEIGHT
        assert set(kinds) <= set(KINDS)


def any_json(rng, depth=0):
    """Anything that a JSON file may hold, with a liking for what looks like masks and boxes."""
    kind = rng.integers(10 if depth < 4 else 6)
    if kind < 2:
        return float(rng.uniform(-5, 70))
    if kind == 2:
        return EDGES[rng.integers(len(EDGES))]
    if kind < 6:
        return [None, True, "", "12.5", "b'X?`0'", "1 2 3", "a", int(rng.integers(-3, 3000))][rng.integers(8)]
    if kind < 9:
        length = int(rng.choice([0, 1, 2, 4, 6, 8]))
        if rng.random() < 0.5:
            return rng.uniform(0, 60, length).round(1).tolist()
        return [any_json(rng, depth + 1) for _ in range(length)]
    keys = rng.choice(["x", "y", "counts", "size", "data"], 2, replace=False)
    return {str(key): any_json(rng, depth + 1) for key in keys}


def test_any_json_in_place_of_any_value_is_counted_or_read():
    rng = np.random.default_rng(7)
    for _ in range(2 * fuzz.CASES):
        fields = rng.choice(["bbox", "area", "iscrowd", "segmentation", "ignore"], rng.integers(1, 4), replace=False)
        cleaned, kinds = clean(annotation(**{str(field): any_json(rng) for field in fields}))
        assert set(kinds) <= set(KINDS) and len(cleaned) == 1 - kinds.get("annotation_malformed", 0)
        for one in cleaned:
            assert np.isfinite([*one.bbox, one.area]).all() and one.area >= 0
            assert one.counts is None or (sum(one.counts) == HEIGHT * WIDTH and min(one.counts) >= 0)
            segmentation = one.polygons or {"size": [HEIGHT, WIDTH], "counts": one.counts or [HEIGHT * WIDTH]}
            assert 0 <= coco_mask.area(to_rle(segmentation, (HEIGHT, WIDTH))) <= HEIGHT * WIDTH


def test_a_box_far_out_is_cut_and_one_near_is_not():
    (cleaned,), kinds = clean(annotation(bbox=[10, 10, 1e9, 20], segmentation=[]))
    assert cleaned.bbox == (10, 10, 2 * WIDTH - 10, 20) and kinds["box_far"] == 1 and cleaned.trainable
    near = [-WIDTH, 10, 3 * WIDTH, 20]
    assert clean(annotation(bbox=near, segmentation=[]))[0][0].bbox == tuple(near)


# -------------------------------------------------------------------------------------------------------- the short way


def test_the_short_way_for_ordinary_annotations_gives_what_the_rules_give(monkeypatch):
    rng = np.random.default_rng(5)
    annotations = []
    for number in range(600):
        polygons = [rng.uniform(0, 40, 2 * rng.integers(2, 6)).round(2).tolist() for _ in range(rng.integers(1, 3))]
        if rng.random() < 0.1:
            polygons[0][rng.integers(4)] = [None, "3", 1e9, float("nan"), -70.0, 7][rng.integers(6)]
        mask = read_mask(polygons, HEIGHT, WIDTH, lambda *_: None)
        left, top, right, bottom = mask.bounds or (1, 2, 3, 4)
        bbox = [left, top, right - left + rng.choice([0, 0, 0.5, 2]), bottom - top]
        area = float(mask.area * rng.choice([1, 1, 1, 3]))
        annotations.append(annotation(id=number, bbox=bbox, segmentation=polygons, area=area))
    short = clean(*annotations)
    taken = sum(cleaning.plain_mask(a["segmentation"], HEIGHT, WIDTH) is not None for a in annotations)
    assert 300 < taken < 600
    monkeypatch.setattr(cleaning, "plain_mask", lambda *_: None)
    monkeypatch.setattr(cleaning, "_is_plain_box", lambda *_: False)
    assert clean(*annotations) == short
