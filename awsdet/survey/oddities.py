"""Annotations that look wrong, found in the records themselves, the worst first.

Nothing is left out of the records because of these; what a conversion left out or corrected is in the manifest's list.
Symbols: A annotations.
"""

from typing import NamedTuple

import numpy as np

from awsdet.data.records.duplicates import SAME_OBJECT, paired_iou
from awsdet.survey.choice import Section, Shown, spread

WORST = 6  # images of each kind
_LOW_IOU = 0.3  # of a box and the bounds of its mask
_TOLERANCE = 1.0  # px by which a box may reach out of its image: tools round by as much
_REACH = 0.1  # share of a side of the image by which a box without a mask reaches out if it is taken for x1, y1, x2, y2
_AREA_FACTOR, _AREA_LEAST = 2, 20.0  # between area and mask; px that they differ by at least
_THIN = 20  # long side / short side
_SMALL = 48  # px; smaller objects are enlarged,
_WHOLE = ("off-mask", "xyxy")  # except where it matters what is elsewhere in the image


class _Facts(NamedTuple):
    """What the kinds are judged by; arrays [A].

    size: [A, 2], width and height of each image; reach: px by which the box reaches out of it; mask_iou: of the box and
    the bounds of its mask, NaN without a mask; flipped: whether the numbers look like x1, y1, x2, y2.
    """

    size: np.ndarray
    reach: np.ndarray
    mask_iou: np.ndarray
    flipped: np.ndarray


def odd_sections(inspection, repeated) -> list:
    """A Section for each kind of oddity that occurs. repeated: pairs, as of `inspection.repeated`."""
    contents, facts = inspection.contents, _facts(inspection)
    sections = []
    for key, title, text, find in _KINDS:
        score, why = find(contents, facts, inspection.manifest)
        found = np.flatnonzero(score > 0)
        worst = found[np.argsort(-score[found], kind="stable")]
        if len(worst):
            chosen = [int(worst[i]) for i in spread(contents.row[worst], WORST, 1)]
            shown = [_shown(contents, position, why(position), key not in _WHOLE) for position in chosen]
            sections.append(Section(key, title, text, len(worst), shown))
    if len(repeated):
        sections.append(_repeated_section(contents, repeated))
    return sections


def _shown(contents, position, why, may_zoom=True):
    size = contents.box[position, 2:] - contents.box[position, :2]
    return Shown(int(contents.row[position]), why, (position,), zoom=may_zoom and bool((size < _SMALL).all()))


def _repeated_section(contents, pairs):
    chosen = spread(contents.row[pairs[:, 0]], WORST, 1)
    why = "two annotations of one class in one place"
    shown = [_shown(contents, int(pairs[i, 0]), why)._replace(marked=tuple(map(int, pairs[i]))) for i in chosen]
    text = f"Their boxes have an IoU of more than {SAME_OBJECT}. In training the object counts twice."
    return Section("repeated", "Objects annotated twice", text, len(np.unique(pairs[:, 1])), shown)


def _facts(inspection):
    contents, manifest = inspection.contents, inspection.manifest
    rows = contents.row.astype(int)
    size = np.stack([manifest.width[rows], manifest.height[rows]], axis=1).astype(float)
    box = np.clip(contents.box, -1e9, 1e9)
    reach = np.maximum(np.maximum(-box[:, :2], box[:, 2:] - size).max(axis=1, initial=-np.inf), 0)
    has_mask = np.isfinite(contents.mask_box).all(axis=1)
    bounds = np.where(has_mask[:, None], np.clip(contents.mask_box, -1e9, 1e9), 0)
    mask_iou = np.where(has_mask, paired_iou(box, bounds), np.nan)
    corners = np.concatenate([box[:, :2], box[:, 2:] - box[:, :2]], axis=1)  # x, y, width, height as if x1, y1, x2, y2
    fits = (corners[:, 2:] > corners[:, :2]).all(axis=1) & (corners[:, 2:] <= size + _TOLERANCE).all(axis=1)
    far = (box[:, 2:] - size > np.maximum(_REACH * size, _TOLERANCE)).any(axis=1)
    better = np.where(has_mask, paired_iou(corners, bounds) > np.nan_to_num(mask_iou), far)
    return _Facts(size, reach, mask_iou, fits & better & (reach > _TOLERANCE))


# Each of these takes (Contents, _Facts, Manifest). It returns how bad each annotation is, [A] (0: not at all), and a
# function from a position to what is wrong with it, in words.


def _flipped(contents, facts, _):
    box = np.concatenate([contents.box[:, :2], contents.box[:, 2:] - contents.box[:, :2]], axis=1)
    return (
        facts.flipped * (1 + facts.reach),
        lambda i: (
            f"bbox {', '.join(f'{number:g}' for number in box[i])} reaches {facts.reach[i]:.0f} px out of the image"
        ),
    )


def _off_mask(contents, facts, _):
    off = (facts.mask_iou < _LOW_IOU) & ~facts.flipped
    return off * (
        1.0 - np.nan_to_num(facts.mask_iou)
    ), lambda i: f"box and mask: IoU {facts.mask_iou[i]:.2f}" if facts.mask_iou[i] else "box and mask do not touch"


def _empty_mask(contents, facts, _):
    return (contents.mask_area == 0).astype(float), lambda i: f"{contents.mask[i]} without a pixel"


def _clipped(contents, facts, _):
    out = (facts.reach > _TOLERANCE) & ~facts.flipped & contents.is_trainable.astype(bool)
    return out * facts.reach, lambda i: f"reaches {facts.reach[i]:.0f} px out of the image"


def _no_area(contents, facts, _):
    return np.where(contents.area <= 0, 1 - contents.area, 0), lambda i: f"area {contents.area[i]:g}"


def _wrong_area(contents, facts, _):
    true, given = contents.mask_area, contents.area
    judged = (true > 0) & (given > 0) & (np.abs(true - given) > _AREA_LEAST)
    factor = np.where(judged, np.maximum(true, given) / np.maximum(np.minimum(true, given), 1e-300), 0)
    return np.where(factor > _AREA_FACTOR, factor, 0), lambda i: f"area {given[i]:g}, but the mask has {true[i]:.0f} px"


def _untrained(contents, facts, _):
    return (~contents.is_trainable.astype(bool)).astype(float), lambda i: "box {:g} x {:g} px".format(
        *(contents.box[i, 2:] - contents.box[i, :2])
    )


def _thin(contents, facts, _):
    size = np.maximum(contents.box[:, 2:] - contents.box[:, :2], 1e-9)
    ratio = size.max(axis=1, initial=0) / size.min(axis=1, initial=np.inf)
    return np.where(
        contents.is_object & (ratio > _THIN), ratio, 0
    ), lambda i: f"one side is {ratio[i]:.0f} times as long as the other"


def _maskless(contents, facts, manifest):
    without = (contents.mask == "none") & contents.is_object & manifest.has_masks
    return without.astype(float), lambda i: "no mask"


# (start of the files' names, title, what it means, function)
_KINDS = (
    (
        "xyxy",
        "Boxes that look like x1, y1, x2, y2",
        "COCO's bbox is x, y, width, height. These reach out of their image, and would not as two corners.",
        _flipped,
    ),
    (
        "off-mask",
        "Boxes that contradict their mask",
        f"The box and the bounds of the mask have an IoU of less than {_LOW_IOU}.",
        _off_mask,
    ),
    ("empty-mask", "Masks without a pixel", "They would teach the mask head that there is nothing.", _empty_mask),
    ("clipped", "Boxes that reach out of their image", "Training cuts them at the image's edges.", _clipped),
    (
        "no-area",
        "Areas of 0 or less",
        "COCO's evaluation sorts objects into small, medium and large by area.",
        _no_area,
    ),
    (
        "area",
        "Areas that contradict their mask",
        f"They differ by a factor of more than {_AREA_FACTOR}.",
        _wrong_area,
    ),
    (
        "untrained",
        "Boxes that are not trained on",
        "Less than one pixel of their width or height lies in the image.",
        _untrained,
    ),
    ("thin", "Very long boxes", f"One side is more than {_THIN} times as long as the other.", _thin),
    ("maskless", "Objects without a mask", "Other objects of this split have one.", _maskless),
)
