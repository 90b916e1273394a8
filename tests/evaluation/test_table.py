"""The COCO table."""

from awsdet.evaluation.coco_metric import NUMBERS
from awsdet.evaluation.table import format_steps, format_table


def metrics_of(*kinds):
    numbers = {f"{kind}_{n}": 0.1 + 0.01 * i for kind in kinds for i, n in enumerate(NUMBERS)}
    numbers["box_ap_small"] = -1.0
    rows = {"person": {"objects": 12}, "a class of long name": {"objects": 3}, "unseen": {"objects": 0}}
    for kind in kinds:
        rows["person"][f"{kind}_ap"] = 1.0
        rows["a class of long name"][f"{kind}_ap"] = 0.25
        rows["unseen"][f"{kind}_ap"] = -1.0
    return {**numbers, "per_class": rows}


def test_table_of_boxes_and_masks():
    lines = format_table(metrics_of("box", "mask")).splitlines()
    assert lines[0].split() == ["COCO", "metrics", "box", "mask"]
    assert lines[2].split()[-2:] == ["0.100", "0.100"]
    assert lines[5].split()[-2:] == ["-", "0.130"]  # absent for boxes
    assert [line.split()[-1] for line in lines[2:14]] == [f"{0.1 + 0.01 * i:.3f}" for i in range(12)]
    assert lines[15].split() == ["class", "objects", "box", "AP", "mask", "AP"]
    assert lines[17].split() == ["person", "12", "1.000", "1.000"]
    assert lines[18].split()[-3:] == ["3", "0.250", "0.250"]
    assert lines[19] == "(classes without objects here: 1)"
    assert len({len(line) for line in lines[:14]}) == 1
    assert len({len(line) for line in lines[15:19]}) == 1


def test_table_of_boxes_only():
    text = format_table(metrics_of("box"), per_class=False)
    assert "mask" not in text and "person" not in text
    assert len(text.splitlines()) == 14


def test_table_of_steps_marks_the_best():
    """The newer one of two that are equal; by masks if there are any."""
    records = [{"step": step, "epoch": step // 500, "box_ap": 0.5 - step / 1e4, "mask_ap": 0.2} for step in (500, 1000)]
    assert [line.split() for line in format_steps(records).splitlines()[2:]] == [
        ["500", "1", "0.450", "0.200"],
        ["1,000", "2", "0.400", "0.200", "best"],
    ]
    boxes = [{"step": 1, "epoch": 0, "box_ap": 0.3}, {"step": 2, "epoch": 0, "box_ap": -1.0}]
    assert [line.split()[2:] for line in format_steps(boxes).splitlines()[2:]] == [["0.300", "best"], ["-"]]
