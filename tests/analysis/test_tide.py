"""Error kinds by hand, and equal to those of hotcoco and tidecv on random data."""

import numpy as np
import pytest

from awsdet.analysis import precision
from awsdet.analysis.tide import KINDS, NONE, tide
from awsdet.evaluation.coco_metric import coco_metrics
from tests.analysis.scene import pairs_of, scene, small

A, FAR = [10, 10, 40, 40], [120, 100, 30, 30]


def kinds(*given, **options):
    """(kind of each detection in the order given, Tide)."""
    truth, results = small(*given, **options)
    pairs, matches, classes = pairs_of(truth, results)
    found = tide(pairs, matches, classes)
    names = [""] * len(results)
    for row, kind in zip(pairs.found_rows.tolist(), found.kind.tolist()):
        names[row] = KINDS[kind] if kind != NONE else "-"
    return names, found


def test_each_kind_by_hand():
    detections = [
        (0, 0, A, 0.9),  # right
        (0, 0, [11, 10, 40, 40], 0.8),  # the same again
        (0, 0, [30, 10, 40, 40], 0.7),  # IoU 1/3
        (0, 1, A, 0.6),  # another class
        (0, 1, [30, 10, 40, 40], 0.5),  # another class, IoU 1/3
        (0, 0, FAR, 0.4),
    ]
    names, found = kinds([(0, 0, A), (0, 2, [80, 20, 30, 30])], detections)
    assert names == ["-", "Dupe", "Loc", "Cls", "Both", "Bkg"]
    assert found.counts == {"Cls": 1, "Loc": 1, "Both": 1, "Dupe": 1, "Bkg": 1, "Miss": 1, "FP": 5, "FN": 1}
    assert found.missed.tolist() == [False, True] and found.unfound.tolist() == [False, True]


def test_iou_at_the_limits():
    """0.5 is a match, and 0.1 is Loc with the own class but background with another one."""
    names, _ = kinds([(0, 0, [0, 0, 40, 20])], [(0, 0, [0, 0, 40, 10], 0.9)])
    assert names == ["-"]
    for k, kind in ((0, "Loc"), (1, "Bkg")):
        assert kinds([(0, 0, [0, 0, 100, 10])], [(0, k, [0, 0, 10, 10], 0.9)])[0] == [kind]


def test_an_error_that_could_be_corrected_is_no_missed_object():
    names, found = kinds([(0, 0, A)], [(0, 0, [30, 10, 40, 40], 0.9)])
    assert names == ["Loc"] and found.counts["Miss"] == 0 and found.counts["FN"] == 1
    assert found.ap == 0 and found.gains["Loc"] == pytest.approx(1) and found.gains["Miss"] == 0


def test_only_the_best_error_of_an_object_is_corrected():
    detections = [(0, 0, [30, 10, 40, 40], 0.9), (0, 0, [30, 10, 40, 41], 0.8)]
    _, found = kinds([(0, 0, A)], detections)
    assert found.counts["Loc"] == 2 and found.gains["Loc"] == pytest.approx(1)
    _, found = kinds([(0, 0, A), (0, 0, FAR)], [*detections, (0, 0, FAR, 0.1)])
    assert found.ap == pytest.approx(1 / 3 * 51 / 101)
    assert found.gains["Loc"] == pytest.approx(1 - 1 / 3 * 51 / 101)  # the second one goes


def test_a_wrong_class_is_corrected_into_the_class_of_its_object():
    _, found = kinds([(0, 0, A), (0, 1, FAR)], [(0, 1, A, 0.9), (0, 1, FAR, 0.8)])
    assert found.ap == pytest.approx(0.25)  # class 0: 0; class 1: 0.5
    assert found.gains["Cls"] == pytest.approx(0.75)


def test_gains_of_missed_objects_by_size():
    objects = [(0, 0, A), (0, 0, [0, 100, 20, 20]), (0, 0, [60, 50, 90, 110])]
    _, found = kinds(objects, [(0, 0, A, 0.9)])
    assert found.counts["Miss"] == 2 and found.ap == pytest.approx(34 / 101)
    assert found.gains["Miss"] == pytest.approx(1 - 34 / 101)
    assert found.missed_gains == pytest.approx({"small": 17 / 101, "medium": 0, "large": 17 / 101})


def test_detections_in_a_crowd_region_are_no_errors():
    names, found = kinds([(0, 0, [0, 0, 200, 100])], [(0, 0, FAR, 0.9), (0, 0, A, 0.9), (0, 1, A, 0.5)], crowds={0})
    assert names == ["Bkg", "-", "Bkg"] and found.counts["FN"] == 0


def test_nothing_at_all():
    for objects, detections in (([], []), ([(0, 0, A)], []), ([], [(0, 0, A, 0.5)])):
        names, found = kinds(objects, detections)
        assert names == ["Bkg"] * len(detections)
        assert found.ap == (0 if objects else -1)
        assert found.counts["Miss"] == len(objects) and not any(found.gains.values())


@pytest.mark.parametrize("masks", [False, True])
def test_ap_is_that_of_the_coco_table(masks):
    truth, results = scene(3, crowds=0.2, masks=masks)
    pairs, matches, classes = pairs_of(truth, results, masks)
    expected = coco_metrics(truth, results, masks)["mask_ap50" if masks else "box_ap50"]
    assert tide(pairs, matches, classes).ap == pytest.approx(expected, abs=1e-12) and 0.05 < expected < 0.9


SEEDS = range(6)


@pytest.fixture
def recalls_of_tidecv(monkeypatch):
    """The recalls i / 100; those of COCO, i * 0.01, differ in the last bit, and so sometimes by a step of a curve."""
    monkeypatch.setattr(precision, "RECALLS", np.arange(101) / 100)


def compare(found, ap, gains, counts):
    assert found.ap == pytest.approx(ap, abs=1e-9)
    assert {kind: found.counts[kind] for kind in KINDS} == {kind: counts[kind] for kind in KINDS}
    assert found.gains == pytest.approx(gains, abs=1e-9)
    assert min(counts[kind] for kind in KINDS) > 0 and gains["Loc"] > 0 and gains["Cls"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_tidecv(tidecv, recalls_of_tidecv, seed):
    """On data without crowd regions: tidecv counts what is ignored there as errors."""
    truth, results = scene(seed, images=40, classes=7)
    pairs, matches, classes = pairs_of(truth, results)
    compare(tide(pairs, matches, classes), *tidecv(truth, results))


def test_equals_tidecv_with_masks(tidecv, recalls_of_tidecv):
    truth, results = scene(20, images=25, masks=True)
    pairs, matches, classes = pairs_of(truth, results, masks=True)
    compare(tide(pairs, matches, classes), *tidecv(truth, results, masks=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_equals_hotcoco(hotcoco, seed):
    truth, results = scene(seed, images=40, classes=7)
    pairs, matches, classes = pairs_of(truth, results)
    theirs = hotcoco(truth, results).tide_errors()
    compare(tide(pairs, matches, classes), theirs["ap_base"], theirs["delta_ap"], theirs["counts"])


@pytest.mark.parametrize("seed", SEEDS[1:4])
def test_equals_hotcoco_with_crowd_regions(hotcoco, seed):
    """Where a detection lies partly in a crowd region of its class, hotcoco has Loc, and tidecv, as we, Bkg or Both."""
    truth, results = scene(seed, images=40, classes=7, crowds=0.15)
    pairs, matches, classes = pairs_of(truth, results)
    found, theirs = tide(pairs, matches, classes), hotcoco(truth, results).tide_errors()
    assert found.ap == pytest.approx(theirs["ap_base"], abs=1e-9)
    for kind in ("Cls", "Dupe", "Miss"):
        assert found.counts[kind] == theirs["counts"][kind]
    for kind in ("Cls", "Dupe", "Miss", "FP", "FN"):
        assert found.gains[kind] == pytest.approx(theirs["delta_ap"][kind], abs=1e-9)
    assert found.counts["FP"] == sum(theirs["counts"][kind] for kind in KINDS[:5])
    assert found.counts["Loc"] < theirs["counts"]["Loc"] and matches.ignored.any()


def test_targets_are_objects_of_the_image():
    truth, results = scene(8)
    pairs, matches, classes = pairs_of(truth, results)
    found = tide(pairs, matches, classes)
    some = np.flatnonzero(found.target != NONE)
    assert len(some) and (pairs.truth.images[found.target[some]] == pairs.found.images[some]).all()
