"""The worst images and suspects, by hand."""

import numpy as np

from awsdet.analysis.faults import lost_objects, suspects, worst_images
from awsdet.analysis.tide import tide
from tests.analysis.scene import pairs_of, scene, small

A, FAR, LARGE = [10, 10, 40, 40], [120, 100, 30, 30], [60, 10, 90, 80]


def looked_at(given):
    pairs, matches, classes = pairs_of(*given)
    return pairs, matches, tide(pairs, matches, classes)


def given():
    """Image 0: a wrong class and a missed object; image 1: found with a low score, and background; image 2: right."""
    return small(
        [(0, 0, A), (0, 1, LARGE), (1, 0, A), (2, 1, FAR)],
        [
            (0, 2, A, 0.9),
            (1, 0, A, 0.2),
            (1, 0, FAR, 0.7),
            (1, 1, [100, 5, 20, 20], 0.3),
            (2, 1, FAR, 0.95),
        ],
        images=3,
    )


def test_worst_images():
    pairs, matches, found = looked_at(given())
    first, second = worst_images(pairs, matches, found, 0.6)
    assert (first.image, first.counts) == (0, {"Cls": 1, "Miss": 1})  # the surer errors come first
    assert (second.image, second.counts) == (1, {"Bkg": 1, "Late": 1})
    assert first.words == "1 wrong class, 1 object not found"
    assert worst_images(pairs, matches, found, 0.1)[0].counts == {"Bkg": 2}
    missed, later = lost_objects(pairs, matches, found, 0.6)
    assert missed.tolist() == [False, True, False, False] and later.tolist() == [False, False, True, False]
    missed, _ = lost_objects(pairs, matches, found, 0.95)
    assert missed.tolist() == [True, True, False, False]  # the wrong class has too low a score to stand for the object


def test_a_wrong_class_and_the_object_that_is_found_later_are_one_fault():
    pairs, matches, found = looked_at(small([(0, 0, A)], [(0, 1, A, 0.9), (0, 0, A, 0.2)]))
    assert [one.counts for one in worst_images(pairs, matches, found, 0.5)] == [{"Cls": 1}]
    assert [one.counts for one in worst_images(pairs, matches, found, 0.95)] == [{"Late": 1}]


def test_suspects():
    pairs, matches, found = looked_at(given())
    listed = suspects(pairs, matches, found, 0.1)
    assert [(s.image, s.score) for s in listed["unlabelled"]] == [(1, 0.7)]  # 0.3 is not sure enough
    (swapped,) = listed["swapped"]
    assert (swapped.image, swapped.score) == (0, 0.9) and pairs.truth_rows[swapped.object] == 0
    assert [int(pairs.truth_rows[s.object]) for s in listed["never found"]] == [1]


def test_an_object_that_its_own_class_matches_is_no_swap():
    pairs, matches, found = looked_at(small([(0, 0, A)], [(0, 1, A, 0.9), (0, 0, A, 0.8)]))
    assert suspects(pairs, matches, found, 0.5)["swapped"] == []


def test_the_largest_unfound_objects_come_first():
    pairs, matches, found = looked_at(small([(0, 0, FAR), (0, 0, LARGE), (0, 0, A)], []))
    never = suspects(pairs, matches, found, 0.5)["never found"]
    assert [int(pairs.truth_rows[s.object]) for s in never] == [1, 2, 0]


def test_crowd_regions_are_no_suspects():
    pairs, matches, found = looked_at(small([(0, 0, [0, 0, 200, 100])], [(0, 0, A, 0.9)], crowds={0}))
    assert not any(suspects(pairs, matches, found, 0.5).values()) and worst_images(pairs, matches, found, 0.5) == []


def test_every_error_is_counted_in_one_image():
    pairs, matches, found = looked_at(scene(6, images=30, crowds=0.2))
    images = worst_images(pairs, matches, found, 0.0)
    counts = {name: sum(one.counts.get(name, 0) for one in images) for name in ("Cls", "Loc", "Both", "Dupe", "Bkg")}
    assert counts == {name: found.counts[name] for name in counts}
    sums = [sum(one.counts.values()) for one in images]
    assert sums == sorted(sums, reverse=True) and len({one.image for one in images}) == len(images)
    assert sum(one.counts.get("Miss", 0) for one in images) == np.count_nonzero(found.missed)
