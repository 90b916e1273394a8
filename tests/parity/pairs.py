"""Pairs our boxes with those of the reference."""

import numpy as np

from tests.parity.rows import Row

BOX_TOLERANCE, SCORE_TOLERANCE = 0.05, 1e-4  # px; probability


def pair_boxes(ours, theirs, alike=None):
    """Pairs (our index, their index) of boxes [N, 4] and [M, 4] within 0.05 px; each box is in one pair at most.

    `alike` bool [N, M] restricts which boxes may be paired. Their boxes choose in order, each the nearest one left.
    """
    if not len(ours) or not len(theirs):
        return []
    distance = np.abs(ours[:, np.newaxis] - theirs[np.newaxis]).max(axis=-1)
    distance[~(distance <= BOX_TOLERANCE)] = np.inf
    if alike is not None:
        distance[~alike] = np.inf
    pairs = []
    for index in range(len(theirs)):
        mine = int(distance[:, index].argmin())
        if np.isfinite(distance[mine, index]):
            pairs.append((mine, index))
            distance[mine] = np.inf
    return pairs


def ranked_rows(name, ours, theirs, ranked_by=None):
    """Compares two lists of scored boxes. Partners have the same class and rank, within 0.05 px and 1e-4 in score.

    Each side is (boxes, scores) or (boxes, scores, classes), best first. `ranked_by` are the scores that decide our
    order, if they are not those compared. Ranks may differ only among boxes whose scores tie within 1e-4. Returns rows
    and the pairs (our index, their index).
    """
    alike = np.abs(ours[1][:, np.newaxis] - theirs[1][np.newaxis]) <= SCORE_TOLERANCE
    if len(ours) > 2:
        alike &= ours[2][:, np.newaxis] == theirs[2][np.newaxis]
    pairs = pair_boxes(ours[0], theirs[0], alike)
    alone = len(ours[0]) + len(theirs[0]) - 2 * len(pairs)
    ranks = ours[1] if ranked_by is None else ranked_by
    misplaced = sum(i >= len(ranks) or abs(ranks[mine] - ranks[i]) > SCORE_TOLERANCE for mine, i in pairs)
    return [Row(f"{name}: boxes without partner", alone, 0), Row(f"{name}: boxes out of order", misplaced, 0)], pairs
