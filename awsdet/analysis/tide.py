"""The error kinds of TIDE (Bolya et al., 2020): why detections are wrong, and how much AP each kind costs.

Each false positive is of one kind, the first of these that holds. t is 0.5 and b is 0.1; overlaps are IoU:

    Loc    overlaps an object of its class by b to t
    Cls    overlaps an object of another class by t or more
    Dupe   overlaps an object of its class by more than t, but a better detection has that object
    Bkg    overlaps no object by more than b
    Both   all others: wrong class, and not well placed either

    Miss   an object that no detection matches, and that no Loc or Cls error could be corrected to

The cost of a kind is what AP at t gains if its errors are corrected: a Loc error is put in place, a Cls error gets the
right class (of several that belong to one object, the best; if the object is found already, the error is removed);
others are removed; missed objects are not counted as objects. Two more: FP removes all false positives, FN all objects
that are not found. The gains do not add up to what AP lacks.

AP is that of COCO: the mean over classes with objects, and detections in crowd regions are ignored. tidecv also means
classes that only have detections, counts ignored detections as errors, and keeps 100 detections per image.
"""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.matching import Matches
from awsdet.analysis.pairs import LEAST_IOU, Pairs
from awsdet.analysis.precision import ABSENT, class_curves, mean_of_classes, object_counts

POSITIVE_IOU, BACKGROUND_IOU = 0.5, LEAST_IOU
KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")  # in the order of the paper
SPECIAL = ("FP", "FN")
NONE = -1


class Tide(NamedTuple):
    """The error kinds of a set.

    Attributes:
      ap: AP at IoU 0.5, 0 to 1; ABSENT without objects.
      gains: kind -> what AP gains if its errors are corrected, 0 to 1; of KINDS and SPECIAL.
      counts: kind -> number of errors.
      kind: int64 [D], position in KINDS of each detection; NONE: no error.
      target: int64 [D], the object that a Loc, Cls or Dupe error overlaps most; NONE for others.
      missed: bool [G], objects of the kind Miss.
      unfound: bool [G], objects that no detection matches: FN.
      missed_gains: size ("small", "medium", "large") -> what AP gains if its missed objects are not counted.
    """

    ap: float
    gains: dict
    counts: dict
    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray
    unfound: np.ndarray
    missed_gains: dict


def tide(pairs: Pairs, matches: Matches, num_classes: int) -> Tide:
    """The Tide of a set; `matches`: at POSITIVE_IOU, by `matching.match`."""
    kind, target = _kinds(pairs, matches)
    unfound = ~pairs.crowd & ~matches.taken(len(pairs.crowd))
    correctable = np.isin(kind, [KINDS.index("Cls"), KINDS.index("Loc")]) & (target != NONE)
    correctable[correctable] = unfound[target[correctable]]
    missed = unfound.copy()
    missed[target[correctable]] = False
    state = _State(pairs, matches, object_counts(pairs, num_classes))
    fixes = _best_for_each_object(target, correctable, len(missed))
    gains = {name: state.gain(*_corrected(state, name, kind, target, fixes)) for name in KINDS[:5]}
    gains["Miss"] = state.gain(objects=state.without(missed))
    gains["FP"] = state.gain(scores=np.where(matches.hit, 1.0, 0.0))
    gains["FN"] = state.gain(objects=state.without(unfound))
    counts = {name: int((kind == index).sum()) for index, name in enumerate(KINDS)}
    counts |= {"Miss": int(missed.sum()), "FP": int((kind != NONE).sum()), "FN": int(unfound.sum())}
    by_size = {
        name: state.gain(objects=state.without(missed & inside)) for name, inside in sizes(pairs.truth.areas).items()
    }
    return Tide(state.ap, gains, counts, kind, target, missed, unfound, by_size)


def sizes(areas) -> dict:
    """COCO's size -> bool [G], which areas (px) are of it."""
    small, large = areas < 32**2, areas > 96**2
    return {"small": small, "medium": ~small & ~large, "large": large}


def _kinds(pairs, matches):
    """(kind, target) of all detections; see Tide."""
    count = len(pairs.scores)
    own, own_object = _largest(pairs, lambda same: same)
    other, other_object = _largest(pairs, lambda same: ~same)
    nearest = np.maximum(own, other)
    wrong = matches.counted & ~matches.hit
    rules = {
        "Loc": ((own >= BACKGROUND_IOU) & (own <= POSITIVE_IOU), own_object),
        "Cls": (other >= POSITIVE_IOU, other_object),
        "Dupe": (own >= POSITIVE_IOU, own_object),
        "Bkg": (nearest <= BACKGROUND_IOU, None),
        "Both": (np.ones(count, bool), None),
    }
    kind, target = np.full(count, NONE, np.int64), np.full(count, NONE, np.int64)
    for name, (holds, objects) in rules.items():
        new = wrong & (kind == NONE) & holds
        kind[new] = KINDS.index(name)
        if objects is not None:
            target[new] = objects[new]
    return kind, target


def _largest(pairs, chosen):
    """(largest IoU [D], its object [D]; of equal ones the first) with objects that are no crowds.

    chosen: function of bool [P], whether the two have one class, that returns which pairs count.
    """
    detection, count = pairs.detection(), len(pairs.scores)
    same = pairs.found.classes[detection] == pairs.truth.classes[pairs.object]
    rows = np.flatnonzero(chosen(same) & ~pairs.crowd[pairs.object])
    order = rows[np.lexsort((-pairs.iou[rows], detection[rows]))]
    which, places = np.unique(detection[order], return_index=True)
    iou, objects = np.zeros(count), np.full(count, NONE, np.int64)
    iou[which], objects[which] = pairs.iou[order[places]], pairs.object[order[places]]
    return iou, objects


def _best_for_each_object(target, correctable, count):
    """bool [D]: the best of the errors that could be corrected to the same object. Detections are sorted by score."""
    rows = np.flatnonzero(correctable)
    best = np.full(count, NONE, np.int64)
    best[target[rows][::-1]] = rows[::-1]
    chosen = np.zeros(len(target), bool)
    chosen[best[best != NONE]] = True
    return chosen


def _corrected(state, name, kind, target, fixes):
    """(classes, hit, counted) of the detections after all errors of a kind were corrected."""
    errors = kind == KINDS.index(name)
    fixed = errors & fixes
    classes = state.classes.copy()
    classes[fixed] = state.pairs.truth.classes[target[fixed]]
    return classes, state.hit | fixed, state.counted & ~(errors & ~fixed)


class _State:
    """Detections and objects as they are. The methods tell what AP would be if something about them were otherwise."""

    def __init__(self, pairs, matches, objects):
        self.pairs, self.classes = pairs, pairs.found.classes
        self.hit, self.counted, self.objects = matches.hit, matches.counted, objects
        self.ap = self._ap(self.classes, self.hit, self.counted, pairs.scores, objects)

    def without(self, objects):
        """The number of objects of each class if some, bool [G], are not counted."""
        return self.objects - np.bincount(self.pairs.truth.classes[objects], minlength=len(self.objects))

    def gain(self, classes=None, hit=None, counted=None, scores=None, objects=None):
        """What AP gains if these are otherwise; 0 or more."""
        given = (classes, self.classes), (hit, self.hit), (counted, self.counted), (scores, self.pairs.scores)
        changed = [usual if new is None else new for new, usual in given]
        after = self._ap(*changed, self.objects if objects is None else objects)
        return max(after - self.ap, 0.0) if self.ap > ABSENT else 0.0

    def _ap(self, classes, hit, counted, scores, objects):
        curves = class_curves(classes[counted], scores[counted], hit[counted], objects)
        # As in tidecv, a class whose objects were all missed has an AP of 0 if something was detected, else none.
        emptied = (objects == 0) & (self.objects > 0) & (np.bincount(classes[counted], minlength=len(objects)) > 0)
        curves[emptied] = 0
        return mean_of_classes(curves.mean(axis=1))
