"""Lines of an MLPerf result: written so that MLPerf's parser reads them, and read back."""

import json

import pytest

from awsdet.runtime import mllog


def test_a_line_has_the_parts_that_the_parser_wants(tmp_path):
    before = mllog.now_ms()
    mllog.append(tmp_path / "log", "eval_accuracy", {"BBOX": 0.5}, epoch_num=3)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith(":::MLLOG {")
    event = json.loads(line.removeprefix(":::MLLOG "))
    assert list(event) == ["namespace", "time_ms", "event_type", "key", "value", "metadata"]
    assert (
        event["key"] == "eval_accuracy" and event["value"] == {"BBOX": 0.5} and event["event_type"] == "POINT_IN_TIME"
    )
    assert before <= event["time_ms"] <= mllog.now_ms() and isinstance(event["time_ms"], int)
    assert event["metadata"].pop("lineno") > 0
    assert event["metadata"] == {"file": "tests/runtime/test_mllog.py", "epoch_num": 3}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "log"
    mllog.append(path, "init_start", kind=mllog.START, time_ms=12)
    mllog.append(path, "seed", 7)
    first, second = mllog.read(path)
    assert (first.key, first.value, first.time_ms) == ("init_start", None, 12)
    assert (second.key, second.value) == ("seed", 7)


@pytest.mark.parametrize(
    "other",
    ["step 3", ":::MLLOG", ":::MLLOG {", ':::MLLOG {"key": "seed"}', ":::MLLOG []", ":::MLLOG 3", "\xff\x00"],
)
def test_other_lines_are_passed_over(tmp_path, other):
    path = tmp_path / "log"
    path.write_text(f"{other}\n", encoding="latin-1")
    mllog.append(path, "seed", 7)
    assert [event.value for event in mllog.read(path)] == [7]


def test_a_line_may_follow_what_a_launcher_puts_before_it(tmp_path):
    mllog.append(tmp_path / "log", "seed", 7)
    (tmp_path / "log").write_text(f"[host1:0] {(tmp_path / 'log').read_text()}")
    assert [event.key for event in mllog.read(tmp_path / "log")] == ["seed"]


def test_half_a_line_of_a_killed_process_spoils_no_other(tmp_path):
    path = tmp_path / "log"
    mllog.append(path, "seed", 7)
    path.write_text(path.read_text() + ':::MLLOG {"namespace": "", "time_')
    mllog.append(path, "run_stop", status="success")
    assert [event.key for event in mllog.read(path)] == ["seed", "run_stop"]
