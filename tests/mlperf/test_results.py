"""Which files are results, and the score that they make."""

import math
import pathlib

import pytest

from awsdet.mlperf.results import Result, find, read, results_of, score
from awsdet.runtime.errors import UserError
from tests.mlperf.synthetic import write_five, write_log


def results(*minutes):
    return [Result(pathlib.Path("log"), value, 14) for value in minutes]


@pytest.mark.parametrize(
    "minutes, wanted",
    [
        ((5, 1, 2, 3, 100), (2 + 3 + 5) / 3),
        ((5, 1, 2, 3, math.inf), (2 + 3 + 5) / 3),  # one run may miss the target
        ((5, 1, 2, math.inf, math.inf), math.inf),
        ((1, 2, 3), None),
        ((1, 2, 3, 4, 5, 6), None),
    ],
)
def test_score_is_the_mean_of_the_middle_three(minutes, wanted):
    assert score(results(*minutes)) == wanted


def test_the_minutes_of_a_log(tmp_path):
    write_log(tmp_path / "good", minutes=12.5, epochs=13)
    assert read(tmp_path / "good") == (tmp_path / "good", pytest.approx(12.5), 13)
    write_log(tmp_path / "missed", met=False)
    write_log(tmp_path / "killed", without=("run_stop",))
    (tmp_path / "empty").touch()
    assert [read(tmp_path / name).minutes for name in ("missed", "killed", "empty")] == [math.inf] * 3
    assert read(tmp_path / "empty").epochs is None


def test_a_folder_of_results_and_a_package(tmp_path):
    write_five(tmp_path / "mine")
    assert find(str(tmp_path / "mine")) == (tmp_path / "mine", False, [tmp_path / "mine"])
    assert [result.epochs for result in results_of(tmp_path / "mine")] == [14, 14, 13, 14, 14]
    inner = tmp_path / "package/results/box/maskrcnn"
    write_five(inner)
    (tmp_path / "package/results/box/ssd").mkdir()
    assert find(str(tmp_path / "package")) == (tmp_path / "package", True, [inner])


def test_folders_without_results(tmp_path):
    (tmp_path / "file").touch()
    for name, words in [
        ("", "has neither result_"),
        ("nowhere", "does not exist"),
        ("file", "is a file, not a folder"),
    ]:
        with pytest.raises(UserError, match=words):
            find(str(tmp_path / name))
