"""What is wrong in single images: the worst images, and annotations that may themselves be wrong."""

from typing import NamedTuple

import numpy as np

from awsdet.analysis.matching import Matches
from awsdet.analysis.pairs import Pairs
from awsdet.analysis.tide import KINDS, NONE, Tide

SURE = 0.5  # no detection below it makes a label suspect, even if the report's score is lower
WORDS = {  # one, several
    "Cls": ("wrong class", "wrong classes"),
    "Loc": ("badly placed", "badly placed"),
    "Both": ("wrong class and badly placed", "wrong class and badly placed"),
    "Dupe": ("duplicate", "duplicates"),
    "Bkg": ("detection where there is nothing", "detections where there is nothing"),
    "Miss": ("object not found", "objects not found"),
    "Late": ("object found only with a lower score", "objects found only with a lower score"),
}


class Image(NamedTuple):
    """The faults of an image at a score. counts: kind of WORDS -> number; `image`: its number in Pairs."""

    image: int
    counts: dict

    @property
    def words(self):
        """The counts as a phrase."""
        return ", ".join(f"{count} {WORDS[kind][count > 1]}" for kind, count in self.counts.items())


class Suspect(NamedTuple):
    """An annotation that may be wrong or missing.

    Attributes:
      kind: "unlabelled", a sure detection without any object; "swapped", an object where a sure detection says another
        class; "never found", an object that no detection of any class and score overlaps.
      image: its number in Pairs.
      detection, object: positions in Pairs; NONE for what there is not.
      score: of the detection; 0 if there is none.
    """

    kind: str
    image: int
    detection: int
    object: int
    score: float


SUSPECTS = ("unlabelled", "swapped", "never found")


def lost_objects(pairs: Pairs, matches: Matches, tide: Tide, score: float):
    """(not found, found later): bool [G], objects without a true positive of at least `score`.

    Objects that a Loc or Cls error of this score stands for are left out: such an error is one fault, not two.
    """
    sure = pairs.scores >= score
    surely = np.zeros(len(pairs.crowd), bool)
    surely[matches.object[matches.hit & sure]] = True
    stands = sure & np.isin(tide.kind, [KINDS.index("Loc"), KINDS.index("Cls")])
    stood_for = np.zeros(len(pairs.crowd), bool)
    stood_for[tide.target[stands]] = True
    later = ~pairs.crowd & ~tide.unfound & ~surely & ~stood_for
    return tide.unfound & ~stood_for, later


def worst_images(pairs: Pairs, matches: Matches, tide: Tide, score: float) -> list:
    """The Images that have faults, those with the most first; of as many, those whose false positives are surer."""
    missed, later = lost_objects(pairs, matches, tide, score)
    wrong = (tide.kind != NONE) & (pairs.scores >= score)
    table, sums = {}, {}
    for image, kind, one in zip(
        pairs.found.images[wrong].tolist(), tide.kind[wrong].tolist(), pairs.scores[wrong].tolist()
    ):
        counts = table.setdefault(image, {})
        counts[KINDS[kind]] = counts.get(KINDS[kind], 0) + 1
        sums[image] = sums.get(image, 0.0) + one
    for name, chosen in (("Miss", missed), ("Late", later)):
        for image in pairs.truth.images[chosen].tolist():
            counts = table.setdefault(image, {})
            counts[name] = counts.get(name, 0) + 1
    images = [Image(image, {kind: counts[kind] for kind in WORDS if kind in counts}) for image, counts in table.items()]
    return sorted(images, key=lambda one: (-sum(one.counts.values()), -sums.get(one.image, 0.0), one.image))


def suspects(pairs: Pairs, matches: Matches, tide: Tide, score: float) -> dict:
    """Kind -> list of Suspects, the most suspicious first: the surest detections, the largest objects."""
    sure = pairs.scores >= max(score, SURE)
    alone = sure & matches.counted & (np.diff(pairs.first) == 0)
    swapped = sure & (tide.kind == KINDS.index("Cls"))
    swapped[swapped] = tide.unfound[tide.target[swapped]]
    touched = np.zeros(len(pairs.crowd), bool)
    touched[pairs.object] = True
    never = np.flatnonzero(~touched & ~pairs.crowd)
    never = never[np.argsort(-pairs.truth.areas[never], kind="stable")]
    found, images = pairs.found.images, pairs.truth.images
    return {
        "unlabelled": [
            Suspect("unlabelled", int(found[d]), int(d), NONE, float(pairs.scores[d])) for d in _by_score(pairs, alone)
        ],
        "swapped": [
            Suspect("swapped", int(found[d]), int(d), int(tide.target[d]), float(pairs.scores[d]))
            for d in _by_score(pairs, swapped)
        ],
        "never found": [Suspect("never found", int(images[g]), NONE, int(g), 0.0) for g in never],
    }


def _by_score(pairs, chosen):
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-pairs.scores[rows], kind="stable")].tolist()
