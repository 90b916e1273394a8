"""Converts one annotation file into splits: one to train on, and one or two that are held out of it."""

import os
from typing import NamedTuple

from awsdet.data.coco.opening import MAX_MEGAPIXELS, check_megapixels
from awsdet.data.formats.translated import Translated
from awsdet.data.records import holdout as rules
from awsdet.data.records import overlap
from awsdet.data.records.convert import Part, places, read, write
from awsdet.data.records.holdout import Holdout
from awsdet.data.records.manifest import Manifest


class HeldOut(NamedTuple):
    """The splits of an annotation file.

    training, held_out, test: their Manifests; test is None if there is none. copies: images that show the same photo as
    another one, so that they are in the same split. patterns: file names that are in too many folders to be taken for
    one photo. absent: for each of `manifests`, the names of the classes that have objects in other splits alone.
    """

    training: Manifest
    held_out: Manifest
    copies: int
    patterns: tuple
    absent: tuple
    test: Manifest | None = None

    @property
    def manifests(self):
        """Those of all splits, that to train on first."""
        return (self.training, self.held_out, *((self.test,) if self.test else ()))


def convert_held_out(
    annotations: str | os.PathLike | Translated,
    images: str | os.PathLike,
    output: str | os.PathLike,
    split: str,
    holdout: Holdout,
    *,
    shards: int = 0,
    workers: int = 0,
    strict: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> HeldOut:
    """Writes the splits `split` and `holdout.splits`; the other arguments and errors are those of `convert`.

    What is wrong with the file as a whole is noted in the manifest of `split`, which has `shards` shards; the held-out
    splits have fewer, by their shares.
    """
    rules.check(holdout, split)
    max_pixels = check_megapixels(max_megapixels)
    annotations, images, output = places(annotations, images, output)
    coco, found = read(annotations, images, [split, *holdout.splits], strict)
    overlap.check_free(output, split, holdout)
    division = rules.divide(coco, holdout, images)
    described = overlap.described(holdout, split)
    parts = [Part(division.training, split, described, shards)]
    for part, name, share in zip((division.held_out, division.test), holdout.splits, (holdout.share, holdout.test)):
        parts.append(Part(part, name, described, min(shards, 1 + int(shards * share))))
    written = write(parts, annotations, images, output, workers, strict, max_pixels, found)
    everywhere = set().union(*(classes for _, classes in written))
    absent = (tuple(coco.class_names[c] for c in sorted(everywhere - classes)) for _, classes in written)
    (training, _), (held_out, _), *others = written
    test = others[0][0] if others else None
    return HeldOut(training, held_out, division.copies, division.patterns, tuple(absent), test)
