"""Metric lines and the definitions that find them."""

import json
import math
import re

import pytest

from awsdet.evaluation.coco_metric import NUMBERS
from awsdet.sagemaker import metrics

RECORD = {
    "step": 1200,
    "epoch": 1.5,
    "loss": 1.2345678901,
    "rpn_class_loss": 0.5,
    "class_loss": 1e-7,
    "gradient_norm": 123456789.0,
    "learning_rate": 2.5e-05,
    "images_per_second": 0.0,
    "box_ap": 0.341,
    "box_ap_small": -1.0,
    "per_class": {"cat": {"box_ap": 0.5}},
}


def found(line, definitions=None):
    """What SageMaker would read from a line: {name: number}."""
    values = {}
    for definition in definitions or metrics.definitions():
        match = re.search(definition["Regex"], line)
        if match:
            values[definition["Name"]] = float(match.group(1))
    return values


def test_line_has_the_documented_form():
    record = {"step": 1200, "loss": 1.234, "box_ap": 0.341, "mask_ap": 0.311}
    assert metrics.line(record) == "awsdet_metric step=1200 loss=1.234; box_ap=0.341; mask_ap=0.311;"


@pytest.mark.parametrize(
    "prefix", ["", "[algo-1:0] ", "[1,mpirank:0,algo-1]<stdout>:", "[1,0]<stdout>:", "12:00:00 [algo-10:79] "]
)
def test_definitions_find_every_number_behind_any_prefix(prefix):
    values = found(prefix + metrics.line(RECORD))
    wanted = {name: value for name, value in RECORD.items() if name not in ("step", "box_ap_small", "per_class")}
    assert set(values) == set(wanted)
    for name, value in values.items():
        assert value == pytest.approx(wanted[name], rel=1e-5), name


def test_numbers_are_plain_decimals():
    line = metrics.line(RECORD)
    assert "class_loss=0.0000001;" in line and "gradient_norm=123457000;" in line and "learning_rate=0.000025;" in line
    assert re.fullmatch(r"awsdet_metric step=\d+( [a-z_0-9]+=-?\d+(\.\d+)?;)+", line)


def test_similar_names_are_not_confused():
    """loss, class_loss and rpn_class_loss end alike; box_ap begins like box_ap50."""
    names = ("loss", "class_loss", "rpn_class_loss", "box_ap", "box_ap50")
    for name in names:
        assert found(metrics.line({"step": 1, name: 2.5})) == {name: 2.5}


def test_what_is_no_number_is_left_out():
    record = {"step": 1, "loss": math.nan, "accuracy": math.inf, "epoch": True, "mask_ap": -1.0, "box_ar100": -1.0}
    assert metrics.line(record) == ""
    assert metrics.line({**record, "total": -1.0}) == "awsdet_metric step=1 total=-1;"


def test_other_lines_are_not_taken_for_metrics():
    for line in ("loss=3;", "awsdet_metric loss=3;", "step=1 loss=3;", "awsdet_metric step=1 loss=nan;"):
        assert found(line) == {}


def test_a_line_of_a_record_that_was_written_and_read():
    assert metrics.line(json.loads(json.dumps(RECORD))) == metrics.line(RECORD)


def test_definitions_are_within_the_limits_of_the_service():
    definitions = metrics.definitions()
    assert len(definitions) == len(set(metrics.NAMES)) <= 40
    assert all(0 < len(entry["Regex"]) <= 500 and re.compile(entry["Regex"]).groups == 1 for entry in definitions)
    with pytest.raises(ValueError, match="41 metrics, but SageMaker takes at most 40"):
        metrics.definitions([f"m{k}" for k in range(41)])
    with pytest.raises(ValueError, match="same name"):
        metrics.definitions(["loss", "loss"])


def test_every_name_is_one_that_some_run_writes():
    """A misspelt name would give a graph that stays empty. The losses are those of real training steps."""
    import tensorflow as tf

    from tests.models.small_detectors import batch_of, small_detector

    written = {f"{kind}_{number}" for kind in ("box", "mask") for number in NUMBERS}
    written |= {"epoch", "learning_rate", "images_per_second", "data_wait", "memory_mb"}  # of training.logs.Log
    batch = batch_of([[((10, 10, 60, 60), 0, False)]])
    for kind in ("mask_scoring_rcnn", "cascade_mask_rcnn", "retinanet"):
        detector = small_detector(detector=kind)
        detector.compile(optimizer=tf.keras.optimizers.SGD(0.0))
        written |= set(detector.train_on_batch(batch, return_dict=True))
    assert set(metrics.NAMES) <= written
