"""From padded batch outputs to the objects of an image."""

import numpy as np
from pycocotools import mask as coco_mask

from awsdet.detection.found import coco_objects
from awsdet.detection.results import batch_results


def image_results(outputs, index, image_size, original_size, *thresholds, **named):
    """The Found of one image of a batch."""
    alone = {name: value[index : index + 1] for name, value in outputs.items()}
    return batch_results(alone, [image_size], [original_size], *thresholds, **named)[0]


def outputs():
    """Two images, three slots each; the second image has two objects."""
    boxes = np.zeros((2, 3, 4), np.float32)
    boxes[1, :2] = [[10, 20, 30, 60], [50, 40, 100, 80]]
    return {
        "boxes": boxes,
        "scores": np.array([[0, 0, 0], [0.75, 0.25, 0]], np.float32),
        "classes": np.array([[-1, -1, -1], [1, 0, -1]], np.int32),
        "count": np.array([0, 2], np.int32),
        "masks": np.ones((2, 3, 28, 28), np.float32),
    }


def test_boxes_go_to_original_pixels_by_axis_and_are_clipped():
    # 80 x 100 resized from 161 x 199: the two scales differ.
    found = image_results(outputs(), 1, (80, 100), (161, 199), 0.5)
    np.testing.assert_allclose(found.boxes[0], [19.9, 40.25, 59.7, 120.75], rtol=1e-6)
    np.testing.assert_array_equal(found.boxes[1, 2:], [199, 161])
    assert found.boxes.dtype == np.float32
    np.testing.assert_array_equal(found.classes, [1, 0])
    mask = coco_mask.decode(found.masks[0])
    assert mask.shape == (161, 199)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (40, 120, 20, 59)


def test_score_threshold_and_image_without_objects():
    assert image_results(outputs(), 1, (80, 100), (80, 100), 0.5, score_threshold=0.5).scores.tolist() == [0.75]
    empty = image_results(outputs(), 0, (80, 100), (80, 100), 0.5)
    assert empty.boxes.shape == (0, 4) and empty.masks == []
    assert coco_objects(empty, [3, 9]) == []


def test_coco_objects():
    entry = coco_objects(image_results(outputs(), 1, (80, 100), (80, 100), 0.5), [3, 9])[0]
    assert entry["bbox"] == [10, 20, 20, 40] and entry["score"] == 0.75 and entry["category_id"] == 9
    assert entry["segmentation"]["size"] == [80, 100] and isinstance(entry["segmentation"]["counts"], str)
    assert all(type(v) is float for v in entry["bbox"])


def test_detector_without_masks():
    without = {k: v for k, v in outputs().items() if k != "masks"}
    found = image_results(without, 1, (80, 100), (80, 100), 0.5)
    assert found.masks is None
    assert "segmentation" not in coco_objects(found, [3, 9])[0]


def test_a_batch_is_its_images():
    made = outputs()
    made["count"][0], made["scores"][0] = 1, [0.5, 0, 0]
    made["boxes"][0, 0], made["classes"][0, 0] = [-5, 3, 44, 21], 0
    made["masks"] *= np.random.default_rng(0).uniform(size=made["masks"].shape).astype(np.float32)
    sizes, originals = np.array([(48, 90), (80, 100)]), np.array([(97, 180), (161, 199)])
    for threshold in (0.0, 0.3, 0.9):
        together = batch_results(made, sizes, originals, 0.5, threshold)
        assert len(together) == 2
        for index, found in enumerate(together):
            alone = image_results(made, index, sizes[index], originals[index], 0.5, threshold)
            np.testing.assert_array_equal(found.boxes, alone.boxes)
            np.testing.assert_array_equal(found.scores, alone.scores)
            np.testing.assert_array_equal(found.classes, alone.classes)
            assert found.masks == alone.masks and len(found.masks) == len(found.scores)
            assert all(mask["size"] == originals[index].tolist() for mask in found.masks)


def test_scores_of_masks():
    scored = {**outputs(), "iou_scores": np.array([[0, 0, 0], [0.5, 0.8, 0]], np.float32)}
    found = image_results(scored, 1, (80, 100), (80, 100), 0.5)
    np.testing.assert_allclose(found.iou_scores, [0.5, 0.8])
    entry = coco_objects(found, [3, 9])[0]
    assert (entry["score"], entry["iou_score"], entry["mask_score"]) == (0.75, 0.5, 0.375)
    assert image_results(scored, 1, (80, 100), (80, 100), 0.5, score_threshold=0.5).iou_scores.tolist() == [0.5]
    unscored = image_results(outputs(), 1, (80, 100), (80, 100), 0.5)
    assert unscored.iou_scores is None and "mask_score" not in coco_objects(unscored, [3, 9])[0]
