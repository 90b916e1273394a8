"""Refuses splits of one folder that would have images in common, from what their manifests say of their sources."""

import os
import pathlib

from awsdet.data.records.holdout import TEST, Holdout
from awsdet.data.records.manifest import SUFFIX, read_json, splits_in
from awsdet.runtime.errors import UserError


def check_whole(output: str | os.PathLike, split: str, sha256: str) -> None:
    """Raises UserError if a whole annotation file is to be written beside a part of it.

    That is: as the split that another one was held out of, or as the held-out one. sha256: of the annotation file.
    """
    for other in splits_in(output):
        source = source_of(output, other)
        holdout = source.get("holdout", {})
        held = _held(holdout)
        if split in held and other == holdout.get("training") and source.get("sha256") == sha256:
            raise UserError(
                f"{output} holds {other}, out of which {_given(holdout)} held {split}; the whole file as {split} would "
                f"have the images of {other}: choose another folder"
            )
        if split == holdout.get("training") and other in held:
            raise UserError(
                f"{output} holds {other}, which was held out of {split} by {_given(holdout)}; the whole of {split} "
                "would have the same images: give these flags too, or choose another folder"
            )


def check_free(output: str | os.PathLike, split: str, holdout: Holdout) -> None:
    """Raises UserError if the new splits would have images in common with one that is there already.

    That is: with one of a held-out name that was not held out, or with one that was held out of `split` and is not made
    anew.
    """
    for other in splits_in(output):
        held_of = source_of(output, other).get("holdout", {})
        if other in holdout.splits and not held_of:
            cure = "" if other == TEST else ", or another name with --holdout-split"
            raise UserError(
                f"{output} holds a split {other} already, which was not held out; choose another folder{cure}"
            )
        if other in _held(held_of) and other not in holdout.splits and split == held_of["training"]:
            raise UserError(
                f"{output} holds {other}, which was held out of {split} by {_given(held_of)}; without these flags "
                f"{split} could have the same images: give them too, or choose another folder"
            )


def _held(holdout):
    """The names of the held-out splits, from what a manifest says of its holdout."""
    return [holdout[key] for key in ("held_out", "test") if key in holdout]


def _given(holdout):
    """The flags that a manifest's holdout was made with."""
    test = f" --test={holdout['test_share']:g}" if "test" in holdout else ""
    name = "" if holdout["held_out"] == "val" else f" --holdout-split={holdout['held_out']}"
    return f"--holdout={holdout['share']:g}{test}{name} --seed={holdout['seed']}"


def described(holdout: Holdout, split: str) -> dict:
    """What the manifests of the parts say of the division. `split`: name of the split to train on."""
    common = {"share": holdout.share, "seed": holdout.seed, "training": split, "held_out": holdout.split}
    return {**common, **({"test_share": holdout.test, "test": TEST} if holdout.test else {})}


def source_of(output: str | os.PathLike, split: str) -> dict:
    """Where a split in a folder comes from, by its manifest; an empty dict if there is none or it is damaged."""
    path = pathlib.Path(output) / f"{split}{SUFFIX}"
    try:
        return read_json(path).get("source", {}) if path.is_file() else {}
    except UserError:
        return {}
