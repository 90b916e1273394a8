import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.cleaning import clean_annotations
from awsdet.data.coco.masks import run_lengths

HEIGHT, WIDTH = 40, 60
TRIANGLE = [10, 10, 30, 10, 20, 30]


def annotation(**changes):
    return {
        "id": 7,
        "image_id": 1,
        "category_id": 5,
        "bbox": [10, 10, 20, 20],
        "area": 200.5,
        "iscrowd": 0,
        "segmentation": [TRIANGLE],
        **changes,
    }


def clean(*annotations):
    found = Anomalies()
    return clean_annotations(annotations, HEIGHT, WIDTH, {5: 2}, found), found.counts


def test_a_sound_annotation_keeps_its_numbers():
    (cleaned,), counts = clean(annotation(segmentation=[TRIANGLE, [1, 2, 3, 4, 5, 6.125]]))
    assert counts == {}
    assert (cleaned.id, cleaned.class_index, cleaned.bbox, cleaned.area) == (7, 2, (10, 10, 20, 20), 200.5)
    assert cleaned.polygons == [TRIANGLE, [1, 2, 3, 4, 5, 6.125]]
    assert cleaned.trainable and not cleaned.is_crowd and cleaned.counts is None


@pytest.mark.parametrize(
    "changes, kinds",
    [
        ({"segmentation": [[1, 1, 5, 5]]}, {"polygon_short": 1, "polygon_none_left": 1}),
        ({"segmentation": [[1, 1, 5, 5, 7]]}, {"polygon_short": 1, "polygon_none_left": 1}),
        ({"segmentation": [[1, 1, 5, 5, 7, float("nan")]]}, {"polygon_short": 1, "polygon_none_left": 1}),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [5, 5]}}, {"rle_invalid": 1}),
        ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}}, {"rle_invalid": 1}),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": [-1, HEIGHT * WIDTH + 1]}}, {"rle_invalid": 1}),
        ({"segmentation": {"size": [HEIGHT, WIDTH], "counts": "%%"}}, {"rle_invalid": 1}),
        ({"segmentation": {"size": None, "counts": None}}, {"rle_invalid": 1}),
        ({"segmentation": "mask.png"}, {"annotation_malformed": 1}),
        ({"bbox": [1, 2, 3]}, {"annotation_malformed": 1}),
        ({"bbox": [1, 2, 3, None]}, {"annotation_malformed": 1}),
        ({"bbox": [1, 2, 3, float("inf")]}, {"annotation_malformed": 1}),
        ({"bbox": None}, {"annotation_malformed": 1}),
    ],
)
def test_annotations_that_cannot_be_used_are_left_out(changes, kinds):
    assert clean(annotation(**changes), annotation(id=8))[1] == kinds
    assert [a.id for a in clean(annotation(**changes), annotation(id=8))[0]] == [8]


def test_a_short_part_goes_and_the_object_stays():
    (cleaned,), counts = clean(annotation(segmentation=[[1, 1, 2, 2], TRIANGLE]))
    assert cleaned.polygons == [TRIANGLE] and counts == {"polygon_short": 1}


@pytest.mark.parametrize("bbox", [[10, 10, 0, 20], [10, 10, 20, 0.5], [70, 10, 5, 5], [59.5, 0, 9, 9], [10, 10, -4, 9]])
def test_degenerate_boxes_are_for_evaluation_only(bbox):
    (cleaned,), counts = clean(annotation(bbox=bbox))
    assert not cleaned.trainable and cleaned.bbox == tuple(bbox) and counts == {"box_degenerate": 1}


def test_a_box_that_reaches_out_is_counted_and_kept():
    (cleaned,), counts = clean(annotation(bbox=[50, 10, 20, 20]))
    assert cleaned.trainable and cleaned.bbox == (50, 10, 20, 20) and counts == {"box_clipped": 1}
    assert clean(annotation(bbox=[50, 10, 10.5, 20]))[1] == {}  # rounding of the annotation tool


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
        annotation(id=1, iscrowd=1), annotation(id=2, bbox=[0, 0, 0, 0]), annotation(id=3), annotation(id=4)
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
    (cleaned,), kinds = clean(annotation(iscrowd=1, segmentation=segmentation))
    assert cleaned.counts == run_lengths(mask) and cleaned.is_crowd and kinds == {}
