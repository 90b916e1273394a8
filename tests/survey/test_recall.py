"""Anchors' recall: numbers of a made data set, and advice that is true."""

import re
from typing import NamedTuple

import numpy as np
import pytest

from awsdet import config as config_lib
from awsdet.config import apply_override
from awsdet.data.records.inspection import percent
from awsdet.runtime.errors import UserError
from awsdet.survey import recall
from awsdet.survey.builder import anchor_rules


class Sizes(NamedTuple):
    height: np.ndarray
    width: np.ndarray
    class_names: tuple = ("a", "b")


class Boxes(NamedTuple):
    box: np.ndarray
    row: np.ndarray
    class_index: np.ndarray
    is_object: np.ndarray


class Made(NamedTuple):
    manifest: Sizes
    contents: Boxes


def made(boxes, classes=None, shape=(400, 600), is_object=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    count = len(boxes)
    return Made(
        Sizes(np.array([shape[0]]), np.array([shape[1]])),
        Boxes(
            boxes,
            np.zeros(count, int),
            np.zeros(count, int) if classes is None else np.array(classes),
            np.ones(count, bool) if is_object is None else np.array(is_object),
        ),
    )


def rules_of(*overrides, family="mask_rcnn"):
    config = getattr(config_lib, family)()
    for override in overrides:
        apply_override(config, override)
    return anchor_rules(config)


def test_boxes_are_measured_at_the_training_size_and_inside_the_image():
    found = recall.cover(made([[0, 0, 10, 10], [590, 390, 640, 420], [0, 0, 5, 5]], is_object=[1, 1, 0]), rules_of())
    np.testing.assert_allclose(found.side, [20, 20])  # 400 x 600 becomes 800 x 1200, and the box is cut at 600, 400
    assert found.position.tolist() == [0, 1]
    found = recall.cover(made([[0, 0, 10, 10]], shape=(400, 4000)), rules_of())
    assert found.side[0] == pytest.approx(10 / 3, rel=2e-3)  # the long side decides: 1333 / 4000


def test_an_object_in_the_place_of_an_anchor_has_an_iou_of_1():
    side = 64 / 2  # px before the resize by 2: the anchors of stride 8 have 64 px
    found = recall.cover(made([[80, 80, 80 + side, 80 + side]]), rules_of("model.anchors.ratios=1"))
    assert found.best[0] == pytest.approx(1)


@pytest.mark.parametrize(
    "overrides, text, size",
    [
        ([], "800/1333 px (data.short_sides, data.max_long_side)", (800, 1333)),
        (["data.short_sides=640,800,480"], "640/1333 px (the middle one of data.short_sides, ", (640, 1333)),
        (["data.short_side_range=640,800"], "720/1333 px (the middle of data.short_side_range, ", (720, 1333)),
        (["data.canvas=1024"], "1024/1024 px (data.canvas, jitter 1)", (1024, 1024)),
    ],
)
def test_the_training_size_of_each_rule(overrides, text, size):
    rules = rules_of(*overrides)
    assert rules.size_text.startswith(text)
    assert (rules.input_size.short_side, rules.input_size.max_long_side) == size


def test_the_rules_of_each_family():
    two_stage, one_stage, cascade = (rules_of(family=f) for f in ("faster_rcnn", "retinanet", "cascade_rcnn"))
    assert two_stage.strides[0] == 4 and one_stage.strides == (8, 16, 32, 64, 128)
    assert (two_stage.positive_iou, two_stage.least_iou) == (0.7, 0.3)
    assert (one_stage.positive_iou, one_stage.least_iou) == (0.5, 0.0)
    assert (two_stage.allowed_border, one_stage.allowed_border, cascade.allowed_border) == (-1, -1, 0)
    assert rules_of("model.rpn.low_quality_matches=false").least_iou == 0.7


@pytest.mark.parametrize("override", ["model.anchors.scales=0", "model.anchors.ratios=-1", "model.detector=yolo"])
def test_impossible_anchors_are_refused(override):
    with pytest.raises(UserError, match=override.partition("=")[0]):
        rules_of(override)


def small_objects(count=40, side=5):
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 380, (count, 2))
    return made(np.concatenate([corner, corner + side], axis=1))


def test_small_objects_are_called_small_and_the_advice_holds():
    inspection, rules = small_objects(side=7), rules_of()
    text = " ".join(recall.sentences(inspection, rules, recall.cover(inspection, rules)))
    assert "100 % of the objects are smaller than 16 px" in text and "0 % than 4 px" in text
    assert re.search(r"\d+ % of the objects have no anchor with an IoU of 0.3, so none is trained to find them", text)
    advised = re.search(r"--config\.(\S+) would give (.+?) of the objects an anchor with IoU 0.5", text)
    changed = rules_of(advised[1])
    assert percent(recall.cover(inspection, changed).share(0.5)) == advised[2]


def test_larger_images_are_advised_with_all_the_settings_they_need():
    inspection, rules = small_objects(side=8), rules_of("data.short_side_range=640,960")
    text = recall.sentences(inspection, rules, recall.cover(inspection, rules))
    advised = next(line for line in text if line.startswith("--config.data.short_side_range"))
    flags = [flag.removeprefix("--config.") for flag in advised.split(" would give ")[0].split()]
    share = recall.cover(inspection, rules_of(*flags)).share(0.5)
    assert f"would give {percent(share)} of the objects" in advised


def test_long_objects_get_other_ratios():
    inspection, rules = made([[i, i, i + 190, i + 19] for i in range(0, 200, 7)]), rules_of()
    text = recall.sentences(inspection, rules, recall.cover(inspection, rules))
    assert text[-1].startswith("--config.model.anchors.ratios=0.125,0.25,0.5,1,2,4,8 would give")


def test_objects_that_fit_need_no_advice():
    inspection, rules = made([[16, 16, 80, 80]] * 5), rules_of()
    text = recall.sentences(inspection, rules, recall.cover(inspection, rules))
    assert text[-1] == "The anchors suit these objects." and len(text) == 3


def test_no_objects():
    inspection, rules = made([]), rules_of()
    found = recall.cover(inspection, rules)
    assert recall.sentences(inspection, rules, found) == ["There are no objects to train on."]
    assert recall.by_size(found) == [] and recall.by_class(found, inspection.contents, ("a",)) == []
    assert found.share(0.5) == 1 and found.share_below(8) == 0


def test_tables_by_size_and_by_class():
    inspection = made([[0, 0, 3, 3], [0, 0, 4, 4], [32, 32, 64, 64], [0, 0, 300, 300]], classes=[1, 1, 0, 0])
    found = recall.cover(inspection, rules_of("model.anchors.ratios=1"))
    assert [(row.name, row.count, row.side) for row in recall.by_size(found)] == [
        ("under 8 px", 1, 6),
        ("8 to 16 px", 1, 8),
        ("64 to 96 px", 1, 64),
        ("from 384 px on", 1, 600),
    ]
    worst, best = recall.by_class(found, inspection.contents, ("a", "b"))
    assert (worst.name, worst.count, worst.shares[1]) == ("b", 2, 0)
    assert (best.name, best.count) == ("a", 2) and best.shares[1] >= 0.5


@pytest.mark.parametrize(
    "share, text", [(0, "0 %"), (1, "100 %"), (0.001, "under 1 %"), (0.999, "over 99 %"), (0.314, "31 %")]
)
def test_percents_are_never_rounded_to_none_or_all(share, text):
    assert percent(share) == text
