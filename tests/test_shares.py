"""The shares of the costly tests."""

import pathlib
import re

import pytest

from tests import shares

ROOT = pathlib.Path(__file__).parents[1]


def test_each_test_is_in_one_share():
    costs = {f"test_{number}": 1.0 + number % 7 for number in range(40)}
    kept = [costs.keys() - shares.others(costs, number, 3) for number in (1, 2, 3)]
    assert sorted(name for share in kept for name in share) == sorted(costs)
    totals = [sum(costs[name] for name in share) for share in kept]
    assert max(totals) - min(totals) <= 7.0
    assert not shares.others(costs, 1, 1)


@pytest.mark.parametrize("text", ["2", "0/3", "4/3", "a/b", "-1/3", "1/3/3"])
def test_what_is_no_share_is_named(text):
    with pytest.raises(pytest.UsageError, match=re.escape(f"={text}: give a share")):
        shares.parse(text)


def test_the_listed_tests_exist():
    """One that is not there any more would shift the others among the shares for nothing."""
    for name in shares.read():
        file, _, function = name.partition("::")
        function = function.partition("[")[0].split("::")[-1]
        assert f"def {function}(" in (ROOT / file).read_text(encoding="utf-8"), name
