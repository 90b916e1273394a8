"""What is counted of annotations that are left out, and of boxes of zeros."""

import pytest

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.cleaning import clean_annotations
from tests.data.coco.test_cleaning import HEIGHT, WIDTH, annotation, clean


@pytest.mark.parametrize("bbox", [None, [], "box", [1, 2, 3], [1, 2, 3, 4, 0.5], {"x": 1}, [0, 0, float("inf"), 5]])
@pytest.mark.parametrize("segmentation", [[], None, [[20, 20, 20, 20, 20, 20]]])
def test_what_is_left_out_is_not_said_to_be_kept(bbox, segmentation):
    found = Anomalies()
    good = annotation(id=8, segmentation=segmentation)
    cleaned = clean_annotations([annotation(bbox=bbox, segmentation=segmentation), good], HEIGHT, WIDTH, {5: 2}, found)
    kept_without_mask = "mask_empty" if segmentation else "mask_absent"
    assert [a.id for a in cleaned] == [8]
    assert found.counts == {"annotation_malformed": 1, kept_without_mask: 1}
    assert found.examples["annotation_malformed"] == [f"annotation 7 (image 1): box {bbox!r}"]
    assert found.examples[kept_without_mask] == ["annotation 8 (image 1)"]


def test_boxes_of_zeros_are_not_taken_for_shares_of_the_image():
    for bbox in ([0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]):
        (cleaned,), counts = clean(annotation(bbox=bbox))
        assert cleaned.bbox == (10, 10, 20, 20) and counts == {"box_from_mask": 1}
    assert clean(annotation(bbox=[0, 0, 0.5, 0.5]))[1] == {"box_from_mask": 1, "box_relative": 1}
