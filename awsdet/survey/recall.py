"""Anchors' recall: how many objects have an anchor that fits them, at the size that images get in training.

The RPN (or RetinaNet) is not trained to find an object without a good anchor, whatever else is right. All of this is
known before training, so a user can choose sizes and anchors in time.

Symbols: G objects to train on, crowds not among them.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from awsdet.data.records.inspection import percent
from awsdet.detection.anchor_cover import best_iou
from awsdet.survey.builder import AnchorRules

LEVELS = (0.7, 0.5, 0.3)  # IoU of the best anchor
SIZE_EDGES = (0, 8, 16, 32, 64, 96, 192, 384, float("inf"))  # px, root of the area; 32 and 96 are COCO's
_TINY, _LESS = 16, 8  # px
ENOUGH = 0.9  # share of objects with a best IoU of 0.5; if there are fewer, it is tried what would help
_GAIN = 0.02  # of the share of objects with a best IoU of 0.5; what gains less is not worth its costs
_LARGER = (1.5, 2)  # the larger sizes that are tried
_ADVISED = 3  # changes that are named at most


class Cover(NamedTuple):
    """The objects of a split as a training would see them.

    Attributes:
      position: int [G], of each object in the contents.
      side: float [G], root of the area of its box in px of the resized image.
      aspect: float [G], width / height there.
      best: float [G], IoU with its best anchor.
    """

    position: np.ndarray
    side: np.ndarray
    aspect: np.ndarray
    best: np.ndarray

    def share(self, level):
        """The share of objects with a best IoU of `level` or more; 1 if there are none."""
        return float((self.best >= level).mean()) if len(self.best) else 1.0

    def share_below(self, side):
        """The share of objects smaller than `side` px."""
        return float((self.side < side).mean()) if len(self.side) else 0.0


def cover(inspection, rules: AnchorRules) -> Cover:
    """The Cover of an `inspection.Inspection`."""
    manifest, contents = inspection.manifest, inspection.contents
    position = np.flatnonzero(contents.is_object)
    rows = contents.row[position].astype(np.int64)
    original = np.stack([manifest.height[rows], manifest.width[rows]], axis=1)
    resized = np.stack(rules.input_size.resized(*original.T), axis=1)
    scale = (resized / original)[:, [1, 0, 1, 0]]
    boxes = np.clip(contents.box[position], 0, original[:, [1, 0, 1, 0]]) * scale
    size = boxes[:, 2:] - boxes[:, :2]
    pad, border = rules.input_size.pad_multiple, rules.allowed_border
    best = best_iou(boxes, resized, rules.anchors, rules.strides, pad, border)
    return Cover(position, np.sqrt(size.prod(axis=1)), size[:, 0] / size[:, 1], best)


class Row(NamedTuple):
    """A part of the objects: its name, their number, the median of their sides (px), and their shares by LEVELS."""

    name: str
    count: int
    side: float
    shares: tuple


def by_size(found: Cover) -> list:
    """A Row for each class of sizes in SIZE_EDGES that has objects."""
    rows = []
    for low, high in zip(SIZE_EDGES, SIZE_EDGES[1:]):
        name = f"under {high} px" if not low else f"{low} to {high} px" if high < float("inf") else f"from {low} px on"
        rows.append(_row(name, found, (found.side >= low) & (found.side < high)))
    return [row for row in rows if row.count]


def by_class(found: Cover, contents, class_names) -> list:
    """A Row for each class that has objects; those with the smallest share at an IoU of 0.5 come first."""
    classes = contents.class_index[found.position].astype(int)
    rows = [_row(class_names[index], found, classes == index) for index in np.unique(classes)]
    return sorted(rows, key=lambda row: (row.shares[1], -row.count))


def _row(name, found, chosen):
    count = int(chosen.sum())
    best = found.best[chosen]
    shares = tuple(float((best >= level).mean()) if count else 1.0 for level in LEVELS)
    return Row(name, count, float(np.median(found.side[chosen])) if count else 0.0, shares)


def sentences(inspection, rules: AnchorRules, found: Cover) -> list:
    """What the numbers mean, and what would help: plain sentences."""
    if not len(found.best):
        return ["There are no objects to train on."]
    finest = rules.strides[0]
    limits = sorted({_TINY, _LESS, finest}, reverse=True)
    below = ", ".join(f"{percent(found.share_below(limit))} than {limit} px" for limit in limits)
    below = below.replace("than", "of the objects are smaller than", 1)
    text = [
        f"At {rules.size_text}, {below} (root of the area). The finest stride is {finest} px.",
        "Best anchor: " + ", ".join(f"IoU {level} or more for {percent(found.share(level))}" for level in LEVELS) + ".",
    ]
    missed = 1 - found.share(rules.least_iou)
    if missed and rules.least_iou:
        text.append(
            f"{percent(missed)} of the objects have no anchor with an IoU of {rules.least_iou:g}, "
            "so none is trained to find them."
        )
    return text + _advice(inspection, rules, found)


def _advice(inspection, rules, found):
    now = found.share(0.5)
    if now >= ENOUGH:
        return ["The anchors suit these objects."]
    helpful = []
    for steps in _changes(rules):
        best, flags = now, None
        for changed_flags, changed in steps:
            share = cover(inspection, changed).share(0.5)
            if share - best >= _GAIN:
                best, flags = share, changed_flags
        if flags:
            helpful.append((best, flags))
    if not helpful:
        return ["Neither other anchors nor larger images would change that much; look at the objects that are missed."]
    return [
        f"{flags} would give {percent(share)} of the objects an anchor with IoU 0.5, instead of {percent(now)}."
        for share, flags in sorted(helpful, reverse=True)[:_ADVISED]
    ]


def _changes(rules):
    """What may help: for each setting, the smaller change and the larger one, as (flags, AnchorRules)."""
    scales, ratios = rules.anchors.scales, rules.anchors.ratios
    least, most = min(scales), max(scales)
    yield [_anchor_change(rules, scales=more) for more in ((least / 2, *scales), (least / 4, least / 2, *scales))]
    yield [_anchor_change(rules, scales=more) for more in ((*scales, most * 2), (*scales, most * 2, most * 4))]
    longer = (min(ratios) / 2, *ratios, max(ratios) * 2)
    longest = (min(ratios) / 4, *longer, max(ratios) * 4)
    yield [_anchor_change(rules, ratios=more) for more in (longer, longest)]
    yield [_larger_images(rules, factor) for factor in _LARGER]


def _anchor_change(rules, **change):
    ((name, values),) = change.items()
    flags = f"--config.model.anchors.{name}={','.join(f'{value:g}' for value in values)}"
    return flags, rules._replace(anchors=dataclasses.replace(rules.anchors, **change))


def _larger_images(rules, factor):
    size = rules.input_size
    short, long = (max(round(side * factor / 32), 1) * 32 for side in (size.short_side, size.max_long_side))
    larger = size._replace(short_side=short, max_long_side=long)
    return _size_flags(rules.side_setting, larger), rules._replace(input_size=larger)


def _size_flags(setting, size):
    if setting == "data.canvas":
        return f"--config.data.canvas={size.short_side}"
    sides = f"{size.short_side},{size.short_side}" if setting == "data.short_side_range" else size.short_side
    return (
        f"--config.{setting}={sides} --config.data.eval_short_side={size.short_side} "
        f"--config.data.max_long_side={size.max_long_side}"
    )
