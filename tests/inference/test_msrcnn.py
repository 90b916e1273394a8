"""The JSON of MindSpore's Mask Scoring R-CNN, from entries as predict makes them."""

import json

from awsdet.inference.msrcnn import write_msrcnn

RLE = {"size": [4, 6], "counts": "04h0"}


def entry(name, **more):
    found = {"bbox": [1.5, 2.0, 3.0, 0.5], "score": 0.8, "category_id": 17, "class_name": "dog", **more}
    return {"image": name, "height": 4, "width": 6, "predictions": [found]}


def test_an_object_with_all_it_may_have(tmp_path):
    file = tmp_path / "new" / "out.json"
    scored = entry("deeper/b.jpg", segmentation=RLE, iou_score=0.5, mask_score=0.4)
    write_msrcnn(file, [scored], tmp_path / "photos", (3, 17))
    assert json.loads(file.read_text()) == {
        f"{tmp_path}/photos/deeper/b.jpg": {
            "height": 4,
            "width": 6,
            "predictions": [
                {
                    "bbox": {"x_min": 1.5, "y_min": 2.0, "width": 3.0, "height": 0.5},
                    "class": {"label": 1, "category_id": 17, "name": "dog"},
                    "mask": RLE,
                    "score": 0.8,
                    "iou_score": 0.4,
                }
            ],
        }
    }


def test_what_a_detector_does_not_find_is_left_out(tmp_path):
    write_msrcnn(tmp_path / "out.json", [entry("a.jpg"), {**entry("b.jpg"), "predictions": []}], "in", (3, 17))
    images = json.loads((tmp_path / "out.json").read_text())
    assert set(images["in/a.jpg"]["predictions"][0]) == {"bbox", "class", "score"}
    assert images["in/b.jpg"]["predictions"] == []
