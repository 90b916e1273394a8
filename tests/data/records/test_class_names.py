"""Class names that look like mistakes, and those that only seem to."""

import pytest

from awsdet.data.records.class_names import blank_names, number_names, similar_names


@pytest.mark.parametrize(
    "first, second, why",
    [
        ("dog", "dog", "are equal"),
        ("Dog", "dog", "differ in case"),
        ("Straße", "STRASSE", "differ in case"),
        ("traffic light", "traffic_light", "differ in spaces or signs"),
        ("cat", " cat ", "differ in spaces or signs"),
        ("T-shirt", "tshirt", "differ in spaces or signs"),
        ("猫", "猫 ", "differ in spaces or signs"),
        ("car", "cars", "differ in a plural s"),
        ("Box", "boxes", "differ in a plural s"),
        ("bus", "buses", "differ in a plural s"),
        ("berry", "berries", "differ in a plural s"),
        ("person", "persn", "differ in one letter"),
        ("person", "perrson", "differ in one letter"),
        ("person", "parson", "differ in one letter"),
        ("Person", "preson", "differ in one letter"),
        ("fire hydrant", "fire hydrent", "differ in one letter"),
    ],
)
def test_names_that_may_mean_the_same(first, second, why):
    others = ["something else", "and another"]
    assert similar_names([others[0], first, others[1], second]) == [(1, 3, why)]
    assert similar_names([second, first]) == [(0, 1, why)]


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "car"),  # short words
        ("class 1", "class 2"),
        ("model10", "model11"),
        ("type a", "type b"),
        ("a type", "b type"),
        ("person", "people"),
        ("1.5", "15"),
        ("truck", "track team"),
        ("", "a"),
        ("wheel", "steel"),
    ],
)
def test_names_that_mean_different_things(names):
    assert similar_names(names) == []


def test_a_pair_is_named_once_and_many_names_are_quick():
    names = ["Cars", "car", "cars", *(f"kind-{i}-of-{i * i}" for i in range(3000))]
    assert [pair[:2] for pair in similar_names(names)] == [(0, 2), (0, 1), (1, 2)]


@pytest.mark.parametrize("name", ["same", "c{}", "{}"])
def test_tens_of_thousands_of_alike_names_are_quick(name):
    """A pair for each two of them would be two hundred million pairs."""
    names = [name.format(i) for i in range(20_000)]
    pairs = similar_names(names)
    assert pairs == ([(i, i + 1, "are equal") for i in range(19_999)] if name == "same" else [])


def test_few_alike_names_are_paired_each_with_each():
    assert [pair[:2] for pair in similar_names(["owl"] * 4)] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_numbers_and_blanks():
    names = ["3", "-1", " 12 ", "1.5", "3d", "", " ", "\u00a0", "dog"]
    assert number_names(names) == [0, 1, 2, 3]
    assert blank_names(names) == [5, 6, 7]


def test_the_classes_of_coco_are_all_different():
    names = "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,cat,dog,cow,bear,cup,fork,knife,bowl,bed,kite"
    assert similar_names(names.split(",")) == []
