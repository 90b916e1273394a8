"""Finds the annotation files and images of COCO data sets in the folders that people have them in.

    COCO's own           annotations/instances_train2017.json, train2017/ (or in images/; with or without the year)
    FiftyOne, MindSpore  train/labels.json, train/data/; validation/labels.json, validation/data/
    Roboflow             train/_annotations.coco.json and images; valid/…

Each is also found in data/coco/ or coco/ below the folder. No annotation file is read.
"""

import pathlib
import re
from typing import NamedTuple

from awsdet.data.formats.names import SPLITS
from awsdet.runtime.errors import UserError

_ROOTS = (".", "coco", "data/coco")
_COCO = re.compile(r"instances_(.+?)(20\d\d)?\.json(\.gz)?$")
# What only data sets of another format have -> the value of --from.
_FOREIGN = {
    "voc": ("Annotations", "JPEGImages", "VOCdevkit"),
    "yolo": ("data.yaml", "data.yml", "classes.txt", "obj.names"),
    "masks": ("masks", "train/masks", "stage1_train"),
}
_SHOWN = 6  # names of a message


class Place(NamedTuple):
    """A split: its annotation file, and the folder that its image names are relative to."""

    annotations: pathlib.Path
    images: pathlib.Path


class Found(NamedTuple):
    """A data set. layout: in words; root: its folder; splits: name -> Place; unused: what lies beside them, by name."""

    layout: str
    root: pathlib.Path
    splits: dict[str, Place]
    unused: tuple[str, ...]


def find(dataset: pathlib.Path, split: str | None = None) -> Found:
    """The splits of a data set, or only `split`. Raises UserError if no layout fits, or more than one."""
    if not dataset.is_dir():
        what = "is a file; give the folder of the data set" if dataset.exists() else "does not exist"
        raise UserError(f"--dataset={dataset} {what}")
    roots = [dataset / name for name in _ROOTS]
    fitting = [f for root in roots if root.is_dir() for look in (_coco, _data, _roboflow) if (f := look(root)).splits]
    if len(fitting) > 1:
        places = " and ".join(f"{found.layout} in {found.root}" for found in fitting)
        raise UserError(f"{dataset} holds {places}; give one with --annotations and --images, or move the other away")
    if not fitting:
        raise UserError(f"{dataset} {_why_nothing(dataset)}")
    (found,) = fitting
    for name, place in found.splits.items():
        if split in (None, name) and not place.images.is_dir():
            raise UserError(f"{place.annotations} is there, but not the folder of its images, {place.images}")
    if split and split not in found.splits:
        raise UserError(f"{found.root} ({found.layout}) has no split {split}, but {', '.join(found.splits)}")
    return found._replace(splits={split: found.splits[split]}) if split else found


def _coco(root):
    splits, used = {}, set()
    files = sorted((root / "annotations").glob("*.json*"))
    for path in files:
        named = _COCO.fullmatch(path.name)
        if not named:
            continue
        folder, split = named[1] + (named[2] or ""), _split_of(named[1].rstrip("_-"))
        images = next((p for p in (root / folder, root / "images" / folder) if p.is_dir()), root / folder)
        _add(splits, split, Place(path, images))
        used |= {path.name, folder, "images", "annotations"}
    unused = [f"annotations/{path.name}" for path in files if path.name not in used]
    return Found("COCO's own layout", root, splits, tuple(unused + _others(root, used)))


def _data(root):
    splits = {}
    for path in sorted(root.glob("*/labels.json")):
        if (path.parent / "data").exists():
            _add(splits, _split_of(path.parent.name), Place(path, path.parent / "data"))
    used = {place.annotations.parent.name for place in splits.values()}
    return Found("the layout of FiftyOne and MindSpore", root, splits, tuple(_others(root, used)))


def _roboflow(root):
    splits = {}
    for path in sorted(root.glob("*/_annotations.coco.json")):
        _add(splits, _split_of(path.parent.name), Place(path, path.parent))
    used = {place.images.name for place in splits.values()}
    return Found("the layout of Roboflow", root, splits, tuple(_others(root, used)))


def _add(splits, split, place):
    if split in splits:
        raise UserError(
            f"both {splits[split].annotations} and {place.annotations} would be the split {split}; give one of them "
            "with --annotations and --images"
        )
    splits[split] = place


def _split_of(name):
    """The name of the split in a folder or file called so: val for valid and validation; others as they are."""
    return next((split for split, names in SPLITS.items() if name in names), name)


def _others(root, used):
    return sorted(p.name for p in root.iterdir() if p.name not in used and not p.name.startswith("."))


def _why_nothing(dataset):
    names = sorted(path.name for path in dataset.iterdir())
    for form, marks in _FOREIGN.items():
        if any((dataset / mark).exists() for mark in marks):
            return f"is not laid out as a COCO data set; it looks like another format: add --from={form}"
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return (
        "is not laid out as COCO's own (annotations/instances_train.json, train/), FiftyOne's (train/labels.json, "
        f"train/data/) or Roboflow's data sets; it holds {shown or 'nothing'}: give --annotations and --images"
    )
