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


def test_ids_of_another_type_are_matched_if_they_can_mean_only_one(tmp_path):
    """Tools that write JSON from JavaScript or CSV tables often quote the ids in one of the lists only."""
    images = [{"id": one, "file_name": f"{one}.jpg"} for one in ("1", "2", "07", "007")]
    categories = [{"id": "5", "name": "five"}]
    annotations = [annotation(id=i, image_id=image) for i, image in enumerate((1, 2, 2.0, 7, "07"), start=1)]
    path = write(tmp_path / "a.json", images=images, categories=categories, annotations=annotations)
    found = Anomalies()
    coco = read_coco(path, found)
    assert {i.source_id: [a["id"] for a in coco.annotations[i.id]] for i in coco.images} == {
        "1": [1],
        "2": [2, 3],
        "07": [5],
        "007": [],
    }
    assert found.counts == {"id_of_other_type": 3 + 4, "annotation_of_unknown_image": 1}
    assert found.examples["annotation_of_unknown_image"] == ["annotation 4 (image 7)"]
    assert found.examples["id_of_other_type"][:2] == [
        "annotation 1 (image 1, listed as '1')",
        "annotation 1 (category 5, listed as '5')",
    ]
    assert coco.category_ids == ("5",) and {a["category_id"] for group in coco.annotations.values() for a in group} == {
        "5"
    }


def test_huge_and_textual_annotation_ids_get_numbers(tmp_path):
    annotations = [annotation(id=i) for i in ("x1", 2**63, 2**63 - 1, "8", "08", 4.5, True, -3)]
    found = Anomalies()
    coco = read_coco(write(tmp_path / "a.json", annotations=annotations), found)
    ids = [a["id"] for a in coco.annotations[1]]
    assert ids[2] == 2**63 - 1 and ids[3] == 8 and ids[7] == -3 and len(set(ids)) == 8
    assert all(-(2**63) <= i < 2**63 and i != 0 for i in ids) and found.counts == {"annotation_id": 5}


def test_what_belongs_to_nothing_is_counted_in_the_file(tmp_path):
    annotations = [annotation(), annotation(image_id=[1]), annotation(category_id={}), None, annotation(image_id=True)]
    annotations.append(annotation(image_id=2, category_id=9))  # counted once, for its image
    found = Anomalies()
    coco = read_coco(write(tmp_path / "a.json", annotations=annotations), found)
    assert coco.unplaced == sum(found.counts.values()) == 5 and len(coco.annotations[1]) == 1
