"""Prediction from image files to JSON, with a small detector of random weights."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from awsdet.config import mask_rcnn
from awsdet.inference.find_images import find_images
from awsdet.inference.predict import predict, prediction_entry, write_predictions
from awsdet.models.builder import build

CLASSES, IDS = ("cat", "dog", "bird"), (3, 17, 90)


@pytest.fixture(scope="module")
def config():
    config = mask_rcnn()
    config.model.backbone.update(depth=14, base_width=4)
    config.model.fpn.channels = config.model.rpn.channels = config.model.mask_head.channels = 8
    config.model.box_head.channels = 16
    config.model.box_head.max_detections = 5
    config.model.rpn.post_nms_test = 40
    config.data.update(eval_short_side=64, max_long_side=160)
    return config


@pytest.fixture(scope="module")
def detector(config):
    return build(config, CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of several shapes and kinds, one of them broken, and a file that is not an image."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    (folder / "deeper").mkdir()

    def picture(height, width):
        return Image.fromarray(rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8)).resize((width, height))

    picture(96, 160).save(folder / "b.png")
    picture(200, 80).save(folder / "a.jpg")
    exif = Image.Exif()
    exif[274] = 6  # stored rotated, shown upright
    picture(80, 120).save(folder / "turned.JPG", format="JPEG", exif=exif)
    picture(64, 64).convert("L").save(folder / "deeper/grey.png")
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:400])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_predict_and_write(folder, detector, config, tmp_path):
    paths = find_images(folder).paths
    predictions = list(predict(detector, paths))
    assert [p.path for p in predictions] == paths
    assert [p.path.name for p in predictions if p.error] == ["broken.jpg"]
    assert "broken.jpg" in next(p.error for p in predictions if p.error)
    good = [p for p in predictions if not p.error]
    assert [p.image.shape[:2] for p in good] == [(200, 80), (96, 160), (64, 64), (120, 80)]

    entries = [prediction_entry(p, p.path.name, CLASSES, IDS) for p in good]
    skipped = [{"image": "broken.jpg", "reason": "x"}]
    write_predictions(tmp_path / "new/out.json", entries, skipped, CLASSES, IDS, {".txt": 1})
    content = json.loads((tmp_path / "new/out.json").read_text())
    assert content["classes"][1] == {"category_id": 17, "name": "dog"}
    assert content["skipped"] == [{"image": "broken.jpg", "reason": "x"}] and content["other_files"] == {".txt": 1}
    assert sum(len(image["predictions"]) for image in content["images"]) > 0
    for image in content["images"]:
        for found in image["predictions"]:
            x, y, width, height = found["bbox"]
            assert 0 <= x <= x + width <= image["width"] and 0 <= y <= y + height <= image["height"]
            assert CLASSES[IDS.index(found["category_id"])] == found["class_name"]
            assert coco_mask.decode(found["segmentation"]).shape == (image["height"], image["width"])
        scores = [found["score"] for found in image["predictions"]]
        assert scores == sorted(scores, reverse=True)


def test_an_image_is_found_the_same_alone_and_among_others(folder, detector, config):
    paths = find_images(folder).paths
    together = {p.path: p for p in predict(detector, paths)}
    alone = next(predict(detector, [folder / "turned.JPG"]))
    np.testing.assert_array_equal(alone.found.boxes, together[folder / "turned.JPG"].found.boxes)
    assert alone.found.masks == together[folder / "turned.JPG"].found.masks


def test_score_threshold(folder, detector, config):
    scores = next(predict(detector, [folder / "b.png"])).found.scores
    threshold = float(np.sort(scores)[len(scores) // 2])
    kept = next(predict(detector, [folder / "b.png"], threshold)).found.scores
    np.testing.assert_array_equal(kept, scores[scores >= threshold])


def test_many_sizes_need_no_new_trace(folder, detector, config, tmp_path):
    rng = np.random.default_rng(2)
    list(predict(detector, [folder / "b.png", folder / "a.jpg"]))
    traces = detector._detect_any_size.experimental_get_tracing_count()
    for i in range(3):
        shape = (int(rng.integers(40, 200)), int(rng.integers(40, 200)), 3)
        Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / f"{i}.png")
    list(predict(detector, find_images(tmp_path).paths))
    assert detector._detect_any_size.experimental_get_tracing_count() == traces == 1
