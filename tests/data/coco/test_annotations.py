import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from awsdet.data.coco.annotations import clean_annotations, decompress_counts, read_coco, run_lengths
from awsdet.data.coco.anomalies import Anomalies
from awsdet.runtime.errors import UserError

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


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_compressed_and_plain_rle_give_the_same_runs(density):
    mask = np.random.default_rng(1).random((HEIGHT, WIDTH)) < density
    text = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert decompress_counts(text) == run_lengths(mask)
    for counts in (text, run_lengths(mask)):
        (cleaned,), kinds = clean(annotation(iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": counts}))
        assert cleaned.counts == run_lengths(mask) and cleaned.is_crowd and kinds == {}


def write(path, **changes):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}],
        "annotations": [annotation()],
        "categories": [{"id": 5, "name": "five"}, {"id": 2, "name": "two"}],
        **changes,
    }
    path.write_text(json.dumps(content))
    return path


def test_classes_are_ordered_by_category_id(tmp_path):
    coco = read_coco(write(tmp_path / "a.json"), Anomalies())
    assert coco.category_ids == (2, 5) and coco.class_names == ("two", "five")


def test_a_name_of_several_categories_is_told(tmp_path):
    """The classes stay apart, as in COCOeval, but two rows of the same name in a table need a word."""
    found = Anomalies()
    categories = [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "cat"}]
    coco = read_coco(write(tmp_path / "a.json", categories=categories), found)
    assert coco.class_names == ("cat", "dog", "cat")
    assert found.counts["category_name"] == 1 and found.examples["category_name"] == ["cat (ids 2, 9)"]


def test_ids_that_cocoeval_cannot_tell_apart_are_replaced(tmp_path):
    annotations = [annotation(id=i) for i in (0, 3, 3, None, "9")]
    found = Anomalies()
    coco = read_coco(write(tmp_path / "a.json", annotations=annotations), found)
    assert [a["id"] for a in coco.annotations[1]] == [10, 3, 11, 12, 9]
    assert found.counts == {"annotation_id": 3}


def test_unknown_and_doubled_entries_are_counted(tmp_path):
    image = {"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}
    found = Anomalies()
    coco = read_coco(
        write(
            tmp_path / "a.json",
            images=[image, image, {"id": 4}, {"id": "x", "file_name": "b.jpg"}, None],
            annotations=[annotation(), annotation(image_id=99), annotation(category_id=6), "nonsense"],
        ),
        found,
    )
    assert [image.id for image in coco.images] == [1] and len(coco.annotations[1]) == 1
    assert found.counts == {
        "image_duplicate": 1,
        "image_malformed": 3,
        "annotation_of_unknown_image": 1,
        "annotation_of_unknown_category": 1,
        "annotation_malformed": 1,
    }


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"annotations": None}, "no list 'annotations'"),
        ({"categories": []}, "no categories"),
        ({"categories": [{"id": 1}, {"id": 1}]}, "category id 1 is used twice"),
        ({"categories": [{"name": "cat"}]}, "no integer id"),
    ],
)
def test_files_that_are_no_detection_files_are_refused(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        read_coco(write(tmp_path / "a.json", **changes), Anomalies())


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.json does not exist"):
        read_coco(tmp_path / "nowhere.json", Anomalies())
    (tmp_path / "broken.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"broken\.json is not valid JSON"):
        read_coco(tmp_path / "broken.json", Anomalies())
