"""Categories are told apart by their ids; names may be anything."""

import pytest

from awsdet.data.coco.anomalies import Anomalies
from awsdet.data.coco.categories import class_labels, read_categories
from awsdet.runtime.errors import UserError


def read(*entries):
    found = Anomalies()
    return *read_categories("a.json", [{"id": one, "name": name} for one, name in entries], found), found


def test_ids_of_both_types_are_categories():
    ids, names, found = read(("b", "bee"), (2**64, "huge"), ("10", "ten"), (9, "nine"), (-1, "minus"), ("a", "ant"))
    assert ids == (-1, 9, "10", 2**64, "a", "b") and names == ("minus", "nine", "ten", "huge", "ant", "bee")
    assert not found.counts


def test_equal_names_and_names_alike_are_told():
    _, names, found = read((1, "Cat"), (2, "cat"), (3, "dog"), (4, "dog"), (5, " dog "), (6, "DOG"), (7, "hot  dog"))
    assert names == ("Cat", "cat", "dog", "dog", " dog ", "DOG", "hot  dog")
    assert found.examples == {
        "category_name": ["dog (ids 3, 4)"],
        "category_similar": ["'Cat' (id 1), 'cat' (id 2)", "'dog' (id 3), ' dog ' (id 5), 'DOG' (id 6)"],
    }
    assert read((1, "café"), (2, "cafe\u0301"))[2].counts == {"category_similar": 1}  # one letter, or letter and accent
    assert read((1, "hot\xa0dog"), (2, "hot dog"))[2].counts == {"category_similar": 1}
    assert not read((1, "cat"), (2, "cats"), (3, "hot dog"), (4, "hotdog"))[2].counts


@pytest.mark.parametrize(
    "name, wanted",
    [(None, "7"), ("", "7"), (" \n", "7"), (3, "3"), (1.5, "1.5"), (True, "7"), ([], "7"), ({"a": 1}, "7")],
)
def test_names_that_are_no_text_are_replaced_and_counted(name, wanted):
    ids, names, found = read((7, name))
    assert (ids, names) == ((7,), (wanted,)) and found.counts == {"category_nameless": 1}


def test_half_a_pair_of_code_units_can_be_stored():
    _, (name,), found = read((7, "cat\ud83d"))
    assert name == "cat\\ud83d" and found.counts == {"category_nameless": 1}
    found.table().encode()  # can be printed


def test_a_category_may_be_listed_twice_but_an_id_has_one_name():
    ids, _, found = read((1, "cat"), (1.0, "cat"), ("1", "dog"))
    assert ids == (1, "1") and found.counts == {"category_duplicate": 1}
    with pytest.raises(UserError, match="a.json: category id 'x' is used twice, for 'cat' and 'dog'"):
        read(("x", "cat"), ("x", "dog"))


@pytest.mark.parametrize("one", [None, True, 1.5, "", [], 2.0**60, float("nan")])
def test_a_category_without_an_id_is_refused(one):
    with pytest.raises(UserError, match="has no usable id"):
        read((one, "cat"))


def test_labels_differ_even_if_names_do_not():
    assert class_labels(("cat", "dog"), (1, 2)) == ("cat", "dog")
    assert class_labels(("cat", "dog", "cat"), (1, 2, "x")) == ("cat (id 1)", "dog", "cat (id x)")
    labels = class_labels(("cat", "cat", "cat (id 1)"), (1, "1", 3))
    assert labels == ("cat (id 1)", "cat (id '1')", "cat (id 1) (id 3)")
    assert class_labels(("a\nb", "größe 猫"), (1, 2)) == ("a\\nb", "größe 猫")
