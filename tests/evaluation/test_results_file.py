"""Results files of any origin: what is read, and what is refused in one line."""

import json

import pytest
from pycocotools import mask as coco_mask

from awsdet.evaluation.results_file import read_results
from awsdet.runtime.errors import UserError
from tests.analysis.scene import HEIGHT, WIDTH, ellipse, small

TRUTH = small([], [], images=2)[0]
BOX = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40], "score": 0.5}


def read(tmp_path, content, **options):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_results(path, TRUTH, **options)


def test_what_is_read(tmp_path):
    assert read(tmp_path, []) == []
    more = {**BOX, "score": 1, "mask_score": 0.25, "id": 9, "area": 3}
    assert read(tmp_path, [more]) == [{**BOX, "score": 1.0, "mask_score": 0.25, "bbox": [1.0, 2.0, 30.0, 40.0]}]


def test_the_ids_of_an_annotation_file(tmp_path):
    numbers = {"a.jpg": 0, 2**70: 1}
    found = read(tmp_path, [{**BOX, "image_id": "a.jpg"}, {**BOX, "image_id": 2**70}], numbers=numbers)
    assert [one["image_id"] for one in found] == [0, 1]


def test_masks_of_each_form_and_boxes_of_masks(tmp_path):
    code = ellipse([10, 20, 30, 40])
    polygon = [[10, 20, 40, 20, 40, 60, 10, 60]]
    entry = {"image_id": 0, "category_id": 1, "score": 0.5}
    first, second = read(tmp_path, [{**entry, "segmentation": s} for s in (code, polygon)])
    assert coco_mask.area(first["segmentation"]) == coco_mask.area(code)
    assert first["bbox"] == [10, 20, 30, 40] and second["bbox"] == [10, 20, 30, 40]


def test_other_categories_are_left_out_and_counted(tmp_path, caplog):
    assert len(read(tmp_path, [BOX, {**BOX, "category_id": 77}])) == 1
    assert "1 of 2 detections" in caplog.text and "id 77" in caplog.text


@pytest.mark.parametrize(
    "content, words",
    [
        ("{", "cannot be read as JSON"),
        ({"images": []}, "is the output of awsdet predict, or an annotation file"),
        ("3", "is no list"),
        ([7], "entry 0 is 7"),
        ([BOX, {**BOX, "image_id": 5}], "entry 1 has image_id 5, which the records do not have"),
        ([{**BOX, "category_id": 1.5}], "has category_id 1.5"),
        ([{**BOX, "category_id": 8}], "none of its categories (such as id 8)"),
        ([{**BOX, "score": "high"}], "has score 'high'; it must be a number"),
        ('[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": NaN}]', "has score nan"),
        ([{**BOX, "score": True}], "has score True"),
        ([{**BOX, "bbox": [1, 2, 3]}], "has bbox [1, 2, 3]; it must be"),
        ([{**BOX, "bbox": [1, 2, 3, None]}], "has bbox None"),
        ([{key: BOX[key] for key in BOX if key != "bbox"}], "has bbox None"),
        ([{**BOX, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [5]}}], "does not fit its image"),
        ([{**BOX, "segmentation": {"size": [WIDTH, HEIGHT], "counts": [WIDTH * HEIGHT]}}], "does not fit its image"),
        ([{**BOX, "segmentation": "mask"}], "does not fit its image"),
        ([BOX, {**BOX, "segmentation": ellipse([1, 1, 9, 9])}], "only 1 of 2 detections have a segmentation"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path, content, words):
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert words in str(caught.value) and "results.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="none.json does not exist; give a file in COCO's results format"):
        read_results(tmp_path / "none.json", TRUTH)
