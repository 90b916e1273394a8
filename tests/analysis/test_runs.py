"""What runs wrote, as curves and as figures."""

import json
import math

import pytest

from awsdet.analysis.figure import SERIES, Line, Words
from awsdet.analysis.run_plot import plot, usual_fields
from awsdet.analysis.runs import read_curves, read_runs, smoothed
from awsdet.runtime.errors import UserError


def losses(*steps, value=1.0):
    return [{"step": step, "loss": value / step, "class_loss": 0.5, "learning_rate": 0.1} for step in steps]


def write(folder, records, end=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records) + end)
    return folder


def test_curves(tmp_path):
    evaluation = {"step": 20, "box_ap": 0.25, "box_ap_small": -1.0, "per_class": {"a": 1}, "ok": True, "x": math.nan}
    found = read_curves(write(tmp_path / "run", [*losses(10, 20), evaluation], '{"step": 30, "lo'))
    assert found["loss"] == [(10, 0.1), (20, 0.05)] and found["box_ap"] == [(20, 0.25)]
    assert set(found) == {"loss", "class_loss", "learning_rate", "box_ap"}


def test_a_resumed_run_has_no_doubled_points(tmp_path):
    evaluation = {"step": 20, "box_ap": 0.25}
    again = {"step": 20, "box_ap": 0.5}
    records = [*losses(10, 20), evaluation, *losses(30, 40), *losses(20, value=4), again, *losses(30)]
    found = read_curves(write(tmp_path / "run", records))
    assert [step for step, _ in found["loss"]] == [10, 20, 30]
    assert found["loss"][1] == (20, 0.2) and found["box_ap"] == [(20, 0.5)]


def test_the_line_of_an_evaluation_may_come_late(tmp_path):
    records = [*losses(10, 20, 30), {"step": 20, "box_ap": 0.25}, *losses(40, 50), {"step": 40, "box_ap": 0.5}]
    found = read_curves(write(tmp_path / "run", records))
    assert [step for step, _ in found["loss"]] == [10, 20, 30, 40, 50]
    assert found["box_ap"] == [(20, 0.25), (40, 0.5)]
    found = read_curves(write(tmp_path / "again", [*records, *losses(30, value=4), *losses(35)]))  # it went back
    assert found["loss"][2:] == [(30, 4 / 30), (35, 1 / 35)] and found["box_ap"] == [(20, 0.25)]


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "holds no metrics.jsonl; give the folder of a run"),
        ("", "has written no figures"),
        ('{"step": 1, "loss": 2', "has written no figures"),
        ('{"step": 1}\n', "has written no figures"),
        ('{"step": 1, "loss": 2}\nnonsense\n', "line 2 is no record with a step"),
        ('{"loss": 2}\n', "line 1 is no record with a step"),
        ("[1]\n", "line 1 is no record with a step"),
    ],
)
def test_runs_without_curves_are_refused(tmp_path, content, words):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(UserError, match=words):
        read_curves(tmp_path)


def test_folders_that_are_none_or_given_twice(tmp_path):
    run = write(tmp_path / "run", losses(1))
    with pytest.raises(UserError, match="nowhere does not exist; give the folder of a run"):
        read_runs([run, tmp_path / "nowhere"])
    with pytest.raises(UserError, match="is given twice"):
        read_runs([run, tmp_path / "x" / ".." / "run"])


def test_names_are_as_short_as_they_can_be(tmp_path):
    folders = [write(tmp_path / name, losses(1)) for name in ("a/run", "b/run", "other")]
    assert [run.name for run in read_runs(folders)] == ["a/run", "b/run", "other"]
    assert [run.name for run in read_runs(folders[:1])] == ["run"]


def test_smoothing_keeps_constants_and_lines_and_calms_noise():
    assert [v for _, v in smoothed([(s, 3.0) for s in range(0, 100, 10)])] == pytest.approx([3.0] * 10)
    line = smoothed([(s, float(s)) for s in range(1001)])
    assert line[500] == pytest.approx((500, 500.0)) and line[250] == pytest.approx((250, 250.0), abs=1)
    noisy = smoothed([(s, float(s % 2)) for s in range(1001)])
    assert all(abs(value - 0.5) < 0.05 for _, value in noisy[20:-20])
    assert smoothed([(1, 5.0), (2, 7.0)]) == [(1, 5.0), (2, 7.0)]


def curves(figure, color):
    return [
        shape for shape in figure.shapes if isinstance(shape, Line) and shape.color == color and len(shape.points) > 2
    ]


def test_a_figure_has_a_chart_per_field_and_a_line_per_run(tmp_path):
    evaluation = [{"step": 30, "box_ap": 0.2}, {"step": 60, "box_ap": 0.3}, {"step": 90, "box_ap": 0.4}]
    one = write(tmp_path / "one", [*losses(*range(10, 100, 10)), *evaluation])
    two = write(tmp_path / "two", losses(*range(10, 200, 10)))
    runs = read_runs([one, two])
    assert usual_fields(runs) == ["box_ap", "loss", "class_loss", "learning_rate"]
    figure = plot(runs)
    words = [shape.text for shape in figure.shapes if isinstance(shape, Words)]
    assert {"one", "two", "box_ap", "loss", "class_loss", "learning_rate"} <= set(words)
    # Losses twice, faint and smoothed; AP and learning rate once.
    assert len(curves(figure, SERIES[0])) == 6 and len(curves(figure, SERIES[1])) == 5
    for shape in figure.shapes:
        for x, y in getattr(shape, "points", [(0, 0)]):
            assert -1 <= x <= figure.width + 1 and -1 <= y <= figure.height + 1
    assert len(curves(plot(runs, ["loss"]), SERIES[0])) == 2


def test_mistakes(tmp_path):
    runs = read_runs([write(tmp_path / "run", [{"step": 1, "memory_mb": 5.0}])])
    with pytest.raises(UserError, match="no run has the field los; there are memory_mb"):
        plot(runs, ["los"])
    with pytest.raises(UserError, match="neither losses nor AP; name fields with --fields: memory_mb"):
        plot(runs)
    assert plot(runs, ["memory_mb"]).shapes
    with pytest.raises(UserError, match="9 runs are given; more than 8"):
        plot(runs * 9, ["memory_mb"])
