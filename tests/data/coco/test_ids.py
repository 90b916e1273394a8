"""Ids compared exactly."""

import json

import pytest

from awsdet.data.coco.ids import Lookup, in_order, is_int64, numbered, read_id, unused

HUGE = 2**64 + 1


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("7", 7),
        ("-7", -7),
        ("0", 0),
        ("3.0", 3),
        ("1e3", 1000),
        ("-0.0", 0),
        ("9007199254740993", 2**53 + 1),
        ("7706992903151817197", 7706992903151817197),
        (str(HUGE), HUGE),
        ('"7"', "7"),
        ('"007"', "007"),
        ('"1_25"', "1_25"),
        ('" 7"', " 7"),
        ("9007199254740991.0", 2**53 - 1),
        ("9007199254740993.0", None),  # the float is 2^53, as is that of its neighbour
        ("1e300", None),
        ("1e999", None),
        ("3.5", None),
        ("NaN", None),
        ("-Infinity", None),
        ("true", None),
        ("false", None),
        ("null", None),
        ('""', None),
        ("[1]", None),
        ("{}", None),
    ],
)
def test_what_is_an_id(text, wanted):
    found = read_id(json.loads(text))
    assert found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    "listed, references, wanted",
    [
        ([1, 2], [1, 2.0, 3], [(1, True), (2, True), (None, False)]),
        (
            ["1_25", "12_5"],
            ["12_5", "1_25", 125, "125"],
            [("12_5", True), ("1_25", True), (None, False), (None, False)],
        ),
        (["7", "007"], ["007", "7", 7], [("007", True), ("7", True), (None, False)]),  # 7 may be either
        ([7, "7"], ["7", 7, 7.0], [("7", True), (7, True), (7, True)]),
        (["1", "2"], [1, 2, 3], [("1", False), ("2", False), (None, False)]),
        ([1, 20], ["1", "20", "3"], [(1, False), (20, False), (None, False)]),
        (["000042", "frame"], [42, "frame"], [("000042", False), ("frame", True)]),
        ([7], ["7", "007"], [(None, False), (None, False)]),  # two spellings may be two images
        ([7], [7, "007"], [(7, True), (7, False)]),
        ([HUGE, HUGE + 1], [HUGE + 1, str(HUGE), float(2**64)], [(HUGE + 1, True), (HUGE, False), (None, False)]),
        ([1], [True, None, 1.5, [1], {}, "one", "1.0", "١", "+1", " 1"], [(None, False)] * 10),
        ([0], ["-0"], [(0, False)]),
        ([], [1, "a"], [(None, False)] * 2),
    ],
)
def test_references_find_the_id_they_equal_or_the_only_one_alike(listed, references, wanted):
    lookup = Lookup(listed, references)
    assert [lookup.find(reference) for reference in references] == wanted


def test_numbers_are_unique_int64_and_kept_where_they_can_be():
    ids = [5, "a", HUGE, -3, "5", 2**63 - 2, 2**63]
    found = numbered(ids)
    assert list(found) == ids and [found[5], found[-3], found[2**63 - 2]] == [5, -3, 2**63 - 2]
    assert len(set(found.values())) == len(ids) and all(map(is_int64, found.values()))
    assert numbered(["x", "y"]) == {"x": 1, "y": 2} and numbered([9, "x"])["x"] == 10 and numbered([]) == {}


@pytest.mark.parametrize("used", [set(), {-5}, {1, 3}, {2**63 - 1, 1, 2}, {2**63 - 3}])
def test_unused_numbers_are_new(used):
    found = unused(used, 4)
    numbers = [next(found) for _ in range(4)]
    assert len(set(numbers) - used) == 4 and all(number > 0 and is_int64(number) for number in numbers)


def test_the_order_of_ids_is_that_of_their_numbers():
    assert in_order([10, 9, -1]) == [-1, 9, 10]
    assert in_order(["10", "9", "b", "a", "B"]) == ["9", "10", "B", "a", "b"]
    assert in_order(["3", "2", "x", HUGE, "03", 3]) == ["2", 3, "03", "3", HUGE, "x"]
