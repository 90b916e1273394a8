import json

import pytest

from awsdet.data.coco.annotations import read_coco
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
            images=[image, image, {"id": 4}, {"id": 3.5, "file_name": "b.jpg"}, None],
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
        (
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            "category id 1 is used twice, for 'a' and 'b'; give each",
        ),
        ({"categories": [{"name": "cat"}]}, r"no usable id \(a whole number or a string\)"),
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
