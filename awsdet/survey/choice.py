"""Which images are shown, and why: random ones, and those at the ends of what a split holds."""

from typing import NamedTuple

import numpy as np

from awsdet.data.records.inspection import percent
from awsdet.survey.recall import Cover

RANDOM, CROWDED, SMALLEST, LARGEST, EMPTY, MISSED = 12, 6, 12, 6, 8, 8  # images of each kind
_PER_IMAGE = 2  # objects of one image in a section of objects


class Shown(NamedTuple):
    """An image to show.

    Attributes:
      row: its position in the manifest's arrays.
      why: what is to be seen; text of the page's own, without names of the user's.
      marked: positions in the contents of the objects meant; (): all objects alike.
      zoom: whether only the surroundings of the first of these are shown, enlarged.
    """

    row: int
    why: str = ""
    marked: tuple = ()
    zoom: bool = False


class Section(NamedTuple):
    """Images that are shown for one reason. key: the start of their files' names; total: how many there are of it."""

    key: str
    title: str
    text: str
    total: int
    shown: list


def usual_sections(inspection, cover: Cover, seed: int) -> list:
    """The Sections of a split that any data set has: random, crowded, smallest, largest, missed and empty images."""
    rows = inspection.images.row
    if not len(rows):
        return []
    rng = np.random.default_rng(seed)
    counts = np.bincount(inspection.contents.row.astype(int), minlength=inspection.manifest.num_images)
    random = np.sort(rng.choice(rows, min(RANDOM, len(rows)), replace=False))
    crowded = rows[np.argsort(-counts[rows], kind="stable")][:CROWDED]
    crowded = crowded[counts[crowded] > 1]
    empty = rows[counts[rows] == 0]
    some = rng.choice(empty, min(EMPTY, len(empty)), replace=False)
    text = "The same images come again with the same --seed."
    smallest = _smallest(inspection, cover)
    sections = [
        Section("random", "Random images", text, len(rows), [Shown(int(row)) for row in random]),
        Section(
            "crowded",
            "Most crowded images",
            "Labels are left out if there are many.",
            len(crowded),
            [Shown(int(row)) for row in crowded],
        ),
        smallest,
        _largest(inspection, cover),
        _missed(inspection, cover, {shown.marked for shown in smallest.shown}),
        Section(
            "empty",
            "Images without annotations",
            "They teach what is background. Is there really nothing to be found in them?",
            len(empty),
            [Shown(int(row)) for row in np.sort(some)],
        ),
    ]
    return [section for section in sections if section.shown]


def _smallest(inspection, cover):
    order = np.argsort(cover.side, kind="stable")
    chosen = spread(inspection.contents.row[cover.position[order]], SMALLEST)
    shown = [
        _object(inspection, cover, order[i], f"{cover.side[order[i]]:.1f} px at training size (root of the area)")
        for i in chosen
    ]
    return Section("smallest", "Smallest objects", "Enlarged.", len(shown), shown)


def _largest(inspection, cover):
    manifest, contents = inspection.manifest, inspection.contents
    rows = contents.row[cover.position].astype(int)
    pixels = manifest.height[rows].astype(float) * manifest.width[rows]
    size = np.minimum(contents.box[cover.position, 2:], np.stack([manifest.width[rows], manifest.height[rows]], 1))
    share = np.prod(np.maximum(size - np.maximum(contents.box[cover.position, :2], 0), 0), axis=1) / pixels
    order = np.argsort(-share, kind="stable")
    shown = [
        Shown(
            int(rows[order[i]]),
            f"one object covers {percent(share[order[i]])} of the image",
            (cover.position[order[i]],),
        )
        for i in spread(rows[order], LARGEST, 1)
    ]
    return Section("largest", "Largest objects", "", len(shown), shown)


def _missed(inspection, cover, shown_before):
    order = np.argsort(cover.best, kind="stable")
    order = order[cover.best[order] < 0.3]
    total = len(order)
    order = np.array([i for i in order if (int(cover.position[i]),) not in shown_before], int)
    chosen = spread(inspection.contents.row[cover.position[order]], MISSED)
    shown = [_object(inspection, cover, order[i], f"best anchor IoU {cover.best[order[i]]:.2f}") for i in chosen]
    text = "No anchor has an IoU of 0.3 with them. Those among the smallest objects are not shown again."
    return Section("missed", "Objects that no anchor fits", text, total, shown)


def _object(inspection, cover, index, why):
    position = int(cover.position[index])
    return Shown(int(inspection.contents.row[position]), why, (position,), zoom=cover.side[index] < 96)


def spread(rows, count, per_image=_PER_IMAGE):
    """The first `count` positions in `rows` (images of objects) of which none is the third of its image."""
    chosen, uses = [], {}
    for position, row in enumerate(rows):
        if len(chosen) == count:
            break
        uses[row] = uses.get(row, 0) + 1
        if uses[row] <= per_image:
            chosen.append(position)
    return chosen
