"""The precision and recall of pycocotools' COCOeval, computed on arrays: many images and classes in one step.

COCOeval loops in Python over images, classes, area ranges, thresholds, detections and objects. This module is faster:
- It looks for matches only in pairings. A pairing is an image and a class that has both objects and detections there.
- It matches the i-th best detections of many pairings in one step, for all area ranges and thresholds.
- It computes precision only at the true positives, where recall grows. Between them precision falls, so these points
  give the same envelope.
Overlaps and parameters are pycocotools' own. Ties are decided as there: of equal scores the earlier detection goes
first, of equal overlaps the later object is matched.

Symbols: D detections, G objects, K classes, A area ranges, T IoU thresholds, R recall thresholds, M limits for the
number of detections per image, P pairings, or the detections in them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import Params

_CELLS = 4_000_000  # at most so many pairings x A x T x objects are matched in one step, to bound the memory


class Objects(NamedTuple):
    """N detections, or N objects of the ground truth. Their order only decides ties."""

    images: np.ndarray  # int64 [N], numbers of the images, not negative
    classes: np.ndarray  # int64 [N], 0 to K - 1
    areas: np.ndarray  # float64 [N], pixels
    shapes: np.ndarray | Sequence  # float64 [N, 4] boxes x y width height, or N compressed RLE


class Scores(NamedTuple):
    """Precision and recall; -1 if a class has no object in the area range."""

    precision: np.ndarray  # float64 [T, R, K, A], with the largest limit of detections
    recall: np.ndarray  # float64 [T, K, A, M]


class _Pairings(NamedTuple):
    """For each of P pairings the rows of its detections and objects, in sorted order: first row and number."""

    found_start: np.ndarray
    found_count: np.ndarray
    truth_start: np.ndarray
    truth_count: np.ndarray


class _Sorted(NamedTuple):
    """Objects and detections sorted by class and image, the detections then by falling score."""

    truth: Objects
    crowd: np.ndarray  # bool [G]
    ignored: np.ndarray  # bool [G, A], objects that do not count: crowds, or outside the area range
    found: Objects
    scores: np.ndarray  # float64 [D]
    rank: np.ndarray  # int64 [D], rank within its image and class, from 0
    outside: np.ndarray  # bool [D, A], detections that do not count if they match nothing


class _Matches(NamedTuple):
    """The matches of the P detections that belong to pairings."""

    rows: np.ndarray  # int64 [P], rows of the sorted detections, rising
    matched: np.ndarray  # bool [P, A, T]
    by_ignored: np.ndarray  # bool [P, A, T], the match is an object that does not count


def score(truth, crowd, found, scores, num_classes):
    """Matches detections with objects of the same image and class, and computes precision and recall.

    Args:
      truth: Objects.
      crowd: bool [G], regions that any number of detections may match; these detections then do not count.
      found: Objects, with shapes of the same kind as the truth's. If overlaps are not finite, there is no match.
      scores: float64 [D].
      num_classes: K.

    Returns:
      Scores.
    """
    params = Params("bbox")
    data = _sort(truth, crowd, found, scores, params)
    matches = _match(data, params.iouThrs)
    thresholds, areas = len(params.iouThrs), len(params.areaRng)
    result = Scores(
        np.full((thresholds, len(params.recThrs), num_classes, areas), -1.0),
        np.full((thresholds, num_classes, areas, len(params.maxDets)), -1.0),
    )
    limits = np.searchsorted(data.found.classes, np.arange(num_classes + 1))
    match_limits = np.searchsorted(matches.rows, limits)
    truth_limits = np.searchsorted(data.truth.classes, np.arange(num_classes + 1))
    for k in range(num_classes):
        objects = np.count_nonzero(~data.ignored[truth_limits[k] : truth_limits[k + 1]], axis=0)
        of_class = _Matches(*(part[match_limits[k] : match_limits[k + 1]] for part in matches))
        hit, counted, rank = _count(data, of_class, slice(limits[k], limits[k + 1]))
        _fill(result, k, objects, hit, counted, rank, params)
    return result


def _sort(truth, crowd, found, scores, params):
    order, rank = ranked(found, scores)
    order, rank = (part[rank < params.maxDets[-1]] for part in (order, rank))
    found = take(found, order)
    truth_order = np.lexsort((truth.images, truth.classes))
    truth, crowd = take(truth, truth_order), crowd[truth_order]
    ranges = np.asarray(params.areaRng)
    ignored = crowd[:, None] | _outside(truth.areas, ranges)
    return _Sorted(truth, crowd, ignored, found, scores[order], rank, _outside(found.areas, ranges))


def _count(data, matches, rows):
    """Counts true and false positives of one class.

    Args:
      data: _Sorted.
      matches: _Matches of the class, P detections.
      rows: slice of all detections of the class.

    Returns:
      For the P detections, best first: whether it is a true positive, bool [P, A, T]; how many true and false
      positives there are up to it, int64 [P, A, T]; its rank within its image, int64 [P].
    """
    by_score = np.argsort(-data.scores[rows], kind="stable")
    place = np.empty_like(by_score)
    place[by_score] = np.arange(len(by_score))
    place = place[matches.rows - rows.start]
    order = np.argsort(place)
    place = place[order]
    paired, matched, by_ignored = (part[order] for part in matches)
    hit = matched & ~by_ignored
    inside = ~data.outside[rows][by_score]
    # Counts all that are within the area range; whether a matched one counts, its object decides instead.
    change = np.where(matched, hit.astype(np.int64) - inside[place][:, :, None], 0)
    counted = np.cumsum(inside, axis=0)[place][:, :, None] + np.cumsum(change, axis=0)
    return hit, counted, data.rank[paired]


def _fill(result, k, objects, hit, counted, rank, params):
    """Writes the precision and recall of class k to `result`. The last three arguments are what `_count` returns.

    objects: int [A], the number of objects that count.
    """
    precision = np.cumsum(hit, axis=0) / (counted + np.spacing(1))
    for a in np.flatnonzero(objects):
        for m, limit in enumerate(params.maxDets):
            result.recall[:, k, a, m] = np.count_nonzero(hit[rank < limit, a], axis=0) / objects[a]
        result.precision[:, :, k, a] = 0
        for t in range(hit.shape[2]):
            envelope = np.maximum.accumulate(precision[hit[:, a, t], a, t][::-1])[::-1]
            recall = np.arange(1, len(envelope) + 1) / objects[a]
            reached = np.searchsorted(recall, params.recThrs, side="left")
            reached = reached[reached < len(envelope)]
            result.precision[t, : len(reached), k, a] = envelope[reached]


def ranked(found, scores):
    """Sorts by class, image and falling score. Returns (order, rank of each one within its image and class)."""
    order = np.lexsort((-scores, found.images, found.classes))
    images, classes = found.images[order], found.classes[order]
    first = np.ones(len(order), bool)
    first[1:] = (images[1:] != images[:-1]) | (classes[1:] != classes[:-1])
    places = np.arange(len(order))
    return order, places - np.maximum.accumulate(np.where(first, places, 0))


def take(objects, order):
    """The Objects at the positions `order`."""
    shapes = objects.shapes
    shapes = shapes[order] if isinstance(shapes, np.ndarray) else [shapes[i] for i in order.tolist()]
    return Objects(objects.images[order], objects.classes[order], objects.areas[order], shapes)


def _outside(areas, ranges):
    """Whether each area lies outside of each area range, bool [N, A]."""
    return (areas[:, None] < ranges[:, 0]) | (areas[:, None] > ranges[:, 1])


def _pairings(truth, found):
    images = np.concatenate([truth.images, found.images])
    span = images.max() + 1 if len(images) else 1
    keys, truth_start, truth_count = np.unique(
        truth.classes * span + truth.images, return_index=True, return_counts=True
    )
    found_keys, found_start, found_count = np.unique(
        found.classes * span + found.images, return_index=True, return_counts=True
    )
    _, left, right = np.intersect1d(keys, found_keys, assume_unique=True, return_indices=True)
    return _Pairings(found_start[right], found_count[right], truth_start[left], truth_count[left])


def _match(data, thresholds):
    """_Matches of all pairings."""
    pairings = _pairings(data.truth, data.found)
    start = np.cumsum(pairings.found_count) - pairings.found_count  # first row of each pairing in the result
    total = int(pairings.found_count.sum())
    rows = np.arange(total) + np.repeat(pairings.found_start - start, pairings.found_count)
    areas = data.ignored.shape[1]
    matches = _Matches(rows, *(np.zeros((total, areas, len(thresholds)), bool) for _ in range(2)))
    # Pairings with about the same number of objects are matched together, those with many detections first.
    width = 2 ** np.ceil(np.log2(pairings.truth_count)).astype(np.int64)
    order = np.lexsort((-pairings.found_count, width))
    for side in np.unique(width).tolist():
        together = order[width[order] == side]
        step = max(1, _CELLS // (areas * len(thresholds) * side))
        for begin in range(0, len(together), step):
            part = together[begin : begin + step]
            some = _Pairings(*(numbers[part] for numbers in pairings))
            for place, which, matched, by_ignored in _match_together(data, some, side, thresholds):
                matches.matched[start[part[which]] + place] = matched
                matches.by_ignored[start[part[which]] + place] = by_ignored
    return matches


def _match_together(data, pairings, side, thresholds):
    """Matches P pairings, which have at most `side` objects and are sorted by falling number of detections.

    Yields for each rank i: i, the indices [p] of the pairings whose i-th best detection may match, and for these
    detections matched and by_ignored, both bool [p, A, T].
    """
    objects = np.arange(side)
    index = np.where(objects < pairings.truth_count[:, None], pairings.truth_start[:, None] + objects, 0)
    once = ~data.crowd[index][:, None, None]  # [P, 1, 1, side]
    counts = ~np.moveaxis(data.ignored[index], 2, 1)[:, :, None]  # [P, A, 1, side]
    overlaps = _overlaps(data, pairings, side)
    near = np.any(overlaps >= thresholds.min(), axis=2)
    free = np.ones((len(index), counts.shape[1], len(thresholds), side), bool)
    for place in np.flatnonzero(near.any(axis=0)).tolist():
        which = np.flatnonzero(near[:, place])
        here = overlaps[which, place, None, None]
        fits = free[which] & (here >= thresholds[:, None])
        better = fits & counts[which]  # objects that count are preferred
        better = np.where(better.any(axis=-1, keepdims=True), better, fits)
        # The last one of those with the largest overlap.
        choice = side - 1 - np.argmax(np.where(better, here, -1)[..., ::-1], axis=-1)[..., None]
        chosen = better & (objects == choice)
        free[which] &= ~(chosen & once[which])
        yield place, which, chosen.any(axis=-1), (chosen & ~counts[which]).any(axis=-1)


def _overlaps(data, pairings, side):
    """IoU of each detection with each object, float64 [P, most detections, side]; -1 is padding."""
    found, truth, crowd = data.found.shapes, data.truth.shapes, data.crowd
    overlaps = np.full((len(pairings.found_count), int(pairings.found_count[0]), side), -1.0)
    for row, (f, detections, t, objects) in enumerate(np.stack(pairings, axis=1).tolist()):
        iou = coco_mask.iou(found[f : f + detections], truth[t : t + objects], crowd[t : t + objects])
        overlaps[row, :detections, :objects] = iou
    return overlaps
