"""Finds what is in a data set twice: images with equal bytes, images that look alike, and annotations of one object.

Symbols: N images, A annotations.
"""

import numpy as np

from awsdet.data.records.fingerprints import gradient_bits

SAME_OBJECT = 0.95  # two boxes of one class with a higher IoU are taken for one object
_MOST_PARTNERS = 30  # of a box: 200,000 equal boxes would make 20 billion pairs
_BANDS = 8  # of 16 bits. Hashes that differ in fewer bits than there are bands agree in one band at least,
_BITS_APART = _BANDS - 1  # so no pair with this many different bits or fewer is missed.
_GREY_APART = 6.0  # mean difference of the grey values of images that look alike, of 255
_LARGE = (
    256  # images in a band with the same bits, beyond which only neighbours in the order of the hashes are compared
)
_NEIGHBOURS = 32
_BIT_COUNTS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def equal_images(digests):
    """Groups of images with the same bytes: a list of int arrays of two or more positions in `digests`."""
    positions = {}
    for position, digest in enumerate(digests):
        positions.setdefault(digest, []).append(position)
    return [np.array(group) for group in positions.values() if len(group) > 1]


def similar_images(grey, digests=()):
    """Groups of images that look alike: the same picture in another size or of another quality, or nearly the same.

    grey: tiny versions as `fingerprints.tiny` makes them, uint8 [N, 9, 9]; digests: of their bytes; images of equal
    bytes are in one group if these are given. Returns a list of int arrays of two or more positions, the largest groups
    first. If more than 256 images have 16 bits in common (empty scenes), not all pairs of these are compared.
    """
    groups = _Groups(len(grey))
    for group in equal_images(digests):
        for other in group[1:]:
            groups.join(group[0], other)
    if len(grey):
        bits = gradient_bits(grey)
        flat = grey.reshape(len(grey), -1).astype(np.int16)
        for first, second in _candidates(bits):
            apart = _BIT_COUNTS[bits[first] ^ bits[second]].sum(axis=1)
            first, second = first[apart <= _BITS_APART], second[apart <= _BITS_APART]
            alike = np.abs(flat[first] - flat[second]).mean(axis=1) <= _GREY_APART
            for pair in zip(first[alike], second[alike]):
                groups.join(*pair)
    return groups.found()


def _candidates(bits):
    """Yields (first, second), int arrays: pairs of images that have a band of 16 bits in common."""
    bands = np.ascontiguousarray(bits).view(np.uint16)
    rank = np.empty(len(bits), np.int64)
    rank[np.lexsort(bits.T)] = np.arange(len(bits))
    for band in bands.T:
        order = np.lexsort([rank, band])
        values = band[order]
        large = np.bincount(values, minlength=1 << 16)[values] > _LARGE
        here, step = np.arange(len(order)), 1
        while len(here):
            here = here[here + step < len(order)]
            here = here[(values[here + step] == values[here]) & ~(large[here] & (step > _NEIGHBOURS))]
            yield order[here], order[here + step]
            step += 1


class _Groups:
    """Joins positions 0 … count - 1 to groups (union-find)."""

    def __init__(self, count):
        self._parents = list(range(count))

    def join(self, first, second):
        """Puts the groups of two positions together."""
        first, second = self._root(int(first)), self._root(int(second))
        self._parents[max(first, second)] = min(first, second)

    def found(self):
        """The groups of two or more, as int arrays in ascending order; the largest first."""
        members = {}
        for position in range(len(self._parents)):
            members.setdefault(self._root(position), []).append(position)
        groups = [np.array(group) for group in members.values() if len(group) > 1]
        return sorted(groups, key=lambda group: (-len(group), group[0]))

    def _root(self, position):
        while self._parents[position] != position:
            self._parents[position] = self._parents[self._parents[position]]
            position = self._parents[position]
        return position


def repeated_objects(rows, classes, boxes):
    """Pairs of annotations of one image and one class whose boxes have an IoU of more than 0.95.

    rows: image of each annotation [A]; classes [A]; boxes [A, 4] = x1, y1, x2, y2. Returns int [pairs, 2], positions.
    A box is compared with the 30 that follow it from left to right, so in a dense crowd not every pair is found; equal
    boxes follow one another.
    """
    order = np.lexsort([*boxes.T[::-1], classes, rows]) if len(rows) else np.zeros(0, np.int64)
    new = (np.diff(rows[order]) != 0) | (np.diff(classes[order]) != 0)
    group = np.concatenate([[0], np.cumsum(new)]) if len(order) else order
    boxes, found = boxes[order], [np.zeros((0, 2), np.int64)]
    here = np.arange(len(order))
    for step in range(1, _MOST_PARTNERS + 1):
        here = here[here + step < len(order)]
        here = here[group[here + step] == group[here]]
        # Boxes come by their left sides, so beyond a partner that starts too far to the right there is no other.
        shift = boxes[here + step, 0] - boxes[here, 0]
        here = here[shift <= (1 - SAME_OBJECT) * (boxes[here, 2] - boxes[here, 0])]
        same = here[paired_iou(boxes[here], boxes[here + step]) > SAME_OBJECT]
        found.append(order[np.stack([same, same + step], axis=1)])
    return np.sort(np.concatenate(found), axis=1)


def paired_iou(boxes, others):
    """IoU of each of `boxes` [A, 4] with its partner in `others` [A, 4]: float64 [A]; 0 for two boxes without area."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    overlap = np.prod(np.maximum(high - low, 0), axis=1)
    union = _area(boxes) + _area(others) - overlap
    return np.divide(overlap, union, out=np.zeros(len(boxes)), where=union > 0)


def _area(boxes):
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
