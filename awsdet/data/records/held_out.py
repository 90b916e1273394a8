"""Converts one annotation file into two splits: one to train on, and one that is held out of it."""

import os
from typing import NamedTuple

from awsdet.data.coco.opening import MAX_MEGAPIXELS, check_megapixels
from awsdet.data.records import holdout as rules
from awsdet.data.records.convert import Part, places, read, write
from awsdet.data.records.holdout import Holdout
from awsdet.data.records.manifest import Manifest


class HeldOut(NamedTuple):
    """The two splits of an annotation file.

    training, held_out: their Manifests. copies: images that show the same photo as another one, so that they are on the
    same side. patterns: file names that are in too many folders to be taken for one photo. absent: for `training` and
    `held_out`, the names of the classes that have objects in the other one alone.
    """

    training: Manifest
    held_out: Manifest
    copies: int
    patterns: tuple
    absent: tuple


def convert_held_out(
    annotations: str | os.PathLike,
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
    """Writes the splits `split` and `holdout.split`; the other arguments and errors are those of `convert`.

    What is wrong with the file as a whole is noted in the manifest of `split`, which has `shards` shards; the held-out
    split has fewer, by its share.
    """
    rules.check(holdout, split)
    max_pixels = check_megapixels(max_megapixels)
    annotations, images, output = places(annotations, images, output)
    coco, found = read(annotations, images, [split, holdout.split], strict)
    rules.check_free(output, holdout.split)
    division = rules.divide(coco, holdout, images)
    described = {"share": holdout.share, "seed": holdout.seed, "training": split, "held_out": holdout.split}
    fewer = min(shards, 1 + int(shards * holdout.share))
    parts = [
        Part(division.training, split, described, shards),
        Part(division.held_out, holdout.split, described, fewer),
    ]
    (training, ours), (held_out, theirs) = write(parts, annotations, images, output, workers, strict, max_pixels, found)
    absent = [tuple(coco.class_names[c] for c in sorted(missing)) for missing in (theirs - ours, ours - theirs)]
    return HeldOut(training, held_out, division.copies, division.patterns, tuple(absent))
