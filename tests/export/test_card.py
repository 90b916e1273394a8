"""The model card says what a person can read, of any detector."""

from awsdet.export import card

ABOUT = {
    "name": "retinanet",
    "target": "savedmodel",
    "detector": "retinanet",
    "class_names": ["cat"],
    "size": {"short_side": 800, "max_long_side": 1333, "pad_multiple": 32},
    "max_detections": 100,
    "score_threshold": 0.05,
    "masks": "none",
    "mask_threshold": 0.5,
    "precision": "float32",
    "source": {"step": 3, "metrics": {"box_ap": 0.25, "box_ap_medium": -1.0, "curves": {}}},
    "versions": {"awsdet": "1.0", "tensorflow": "2.15.1"},
    "check": {"images": 3, "objects": 0, "boxes": 0.0, "scores": 0.0, "masks": None, "on": "drawn images"},
}


def test_one_class_without_masks():
    lines = card.text(ABOUT).splitlines()
    assert lines[2].startswith("A retinanet of 1 class, exported as a SavedModel in float32 by awsdet")
    assert "- Masks: none." in lines
    assert "| box_ap | 0.25 |" in lines and not any("box_ap_medium" in line or "-1" in line for line in lines)


def test_several_classes_with_masks():
    text = card.text({**ABOUT, "class_names": ["cat", "dog"], "masks": "crop"})
    assert (
        "of 2 classes" in text and "- Masks: crop; a pixel belongs to an object from a probability of 0.5 on." in text
    )
