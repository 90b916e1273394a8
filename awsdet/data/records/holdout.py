"""Divides the images of one annotation file into a part to train on and one or two parts that are held out.

A *photo* is one or several images that show the same: copies, files of one name in several folders, and the versions
that Roboflow makes of a file (`NAME.rf.DIGITS.jpg`). All images of a photo go to the same side. The side follows from
the seed and the photo's name alone, so that other images may come and go. Photos change sides only if a class would be
missing on one side, or if the held-out share would be off by more than a quarter. A test split is taken out of the part
to train on, by the same rules, so that the other held-out part is the same with and without one.
"""

import collections
import hashlib
import math
import pathlib
import re
from typing import NamedTuple

from awsdet.data.coco.annotations import CocoFile
from awsdet.data.coco.files import find_file
from awsdet.data.records.manifest import file_digest
from awsdet.runtime.errors import UserError

TOLERANCE = 0.25  # of the held-out share
FOLDERS = 20  # a name that is in more folders is a pattern, such as `frame_0001.jpg`, and not that of one photo
_PROBE = 4096  # bytes in the middle of a file, which are compared before the whole
_ROBOFLOW = re.compile(r"\.rf\.[0-9A-Za-z]{16,}$")


TEST = "test"  # name of the second held-out split


class Holdout(NamedTuple):
    """share: of the images, between 0 and 1. seed: another seed holds other images out. split: name of that split.

    test: share of the images, of all of them too, that the split `test` gets; 0: there is none.
    """

    share: float
    seed: int = 1
    split: str = "val"
    test: float = 0.0

    @property
    def splits(self):
        """Names of the held-out splits."""
        return (self.split, TEST) if self.test else (self.split,)


class Division(NamedTuple):
    """training, held_out, test: the parts, with the classes of the whole; test is None if there is none.

    copies: images that another one is like. patterns: file names that are in so many folders that they do not make
    images copies of each other.
    """

    training: CocoFile
    held_out: CocoFile
    copies: int
    patterns: tuple
    test: CocoFile | None = None


class Photo(NamedTuple):
    """draw: number between 0 and 1 that decides its side. rows: places of its images in the file.

    classes: category ids of its objects, without crowds.
    """

    draw: float
    rows: tuple
    classes: frozenset


def check(holdout: Holdout, split: str) -> None:
    """Raises UserError if a share or a name cannot be used. `split`: name of the split to train on."""
    if not 0 < holdout.share < 1:  # also refuses NaN
        raise UserError(
            f"--holdout={holdout.share:g}: it must lie between 0 and 1; 0.1 holds a tenth of the images out"
        )
    if holdout.split == split:
        raise UserError(f"the held-out split and the split to train on are both called {split}; change --holdout-split")
    if not 0 <= holdout.test < 1:
        raise UserError(f"--test={holdout.test:g}: it must lie between 0 and 1; 0.1 makes a tenth of the images a test")
    if holdout.test and holdout.share + holdout.test >= 1:
        raise UserError(
            f"--holdout={holdout.share:g} and --test={holdout.test:g} leave nothing to train on; together they "
            "must be less than 1"
        )
    for flag, name in (("--split", split), ("--holdout-split", holdout.split)):
        if holdout.test and name == TEST:
            raise UserError(f"{flag}={TEST}: --test makes a split of this name; give another one, or leave --test out")


def divide(coco: CocoFile, holdout: Holdout, images: pathlib.Path) -> Division:
    """Divides a CocoFile. images: the folder of its image files, whose bytes are compared to find copies.

    Raises UserError if one of the parts would have no image.
    """
    count = len(coco.images)
    for flag, share in (("--holdout", holdout.share), ("--test", holdout.test))[: len(holdout.splits)]:
        if not 1 <= round(share * count) < count:
            raise UserError(
                f"{flag}={share:g} of {count} image(s) leaves one of the two splits without an image; "
                "convert two annotation files, or give another share"
            )
    photos, patterns = _photos(coco, holdout.seed, images)
    if len(photos) < 2:
        raise UserError(f"all {count} images show the same photo (same name or same bytes), so none can be held out")
    held = _Sides(photos, holdout.share, count).held
    tested = _test_side(photos, held, holdout, count) if holdout.test else set()
    side_of = {row: 1 for number in held for row in photos[number].rows}
    side_of.update({row: 2 for number in tested for row in photos[number].rows})
    training, *parts = (_part(coco, [row for row in range(count) if side_of.get(row, 0) == side]) for side in range(3))
    # Annotations of no image are counted once, with the split to train on.
    held_out, test = (part._replace(unplaced=0) for part in parts)
    return Division(training, held_out, count - len(photos), patterns, test if holdout.test else None)


def _test_side(photos, held, holdout, count):
    """The numbers of the photos of the test split, from those that are not held out; their draws count from the end."""
    left = [number for number in range(len(photos)) if number not in held]
    if len(left) < 2:
        raise UserError(
            f"--holdout={holdout.share:g} leaves one of {len(photos)} photo(s), too few for --split and --test; leave "
            "--test out, or give a smaller --holdout"
        )
    sides = _Sides([photos[number]._replace(draw=1 - photos[number].draw) for number in left], holdout.test, count)
    return {left[number] for number in sides.held}


def _part(coco, rows):
    entries = [coco.images[row] for row in rows]
    return coco._replace(images=entries, annotations={entry.id: coco.annotations[entry.id] for entry in entries})


# ----------------------------------------------------------------------------------------------------------- the photos


def _photos(coco, seed, images):
    """(Photos in the order of the file, names that are patterns)."""
    paths = [find_file(images, entry.file_name).path for entry in coco.images]
    alike, patterns = _same_names(coco.images)
    sizes = [_size(path) for path in paths]
    alike += _same_bytes(paths, sizes)
    photos = []
    for rows in _joined(len(paths), alike):
        name = min(coco.images[row].file_name for row in rows)
        digest = hashlib.sha256(f"{seed}\n{name}".encode(errors="surrogatepass")).digest()
        classes = frozenset().union(*(_classes(coco.annotations[coco.images[r].id]) for r in rows if sizes[r]))
        photos.append(Photo(int.from_bytes(digest[:8], "big") / 2**64, tuple(rows), classes))
    return photos, patterns


def _classes(annotations):
    return {a["category_id"] for a in annotations if a.get("iscrowd") not in (1, True, "1")}


def _same_names(entries):
    """(lists of rows whose files have the same name, names in too many folders for that)."""
    named = collections.defaultdict(list)
    for row, entry in enumerate(entries):
        folder, _, name = entry.file_name.replace("\\", "/").rpartition("/")
        stem = _ROBOFLOW.sub("", name.rpartition(".")[0] or name).casefold()
        named[stem].append((folder, row))
    alike, patterns = [], []
    for stem, places in named.items():
        if len({folder for folder, _ in places}) > FOLDERS:
            patterns.append(stem)
        elif len(places) > 1:
            alike.append([row for _, row in places])
    return alike, tuple(sorted(patterns))


def _same_bytes(paths, sizes):
    """Lists of rows whose files have the same bytes. Only files that could be equal are read as a whole."""
    groups = [list(range(len(paths)))]
    for key in (lambda row: sizes[row], lambda row: _digest(paths[row], sizes[row]), lambda row: _digest(paths[row])):
        keyed = collections.defaultdict(list)
        for number, rows in enumerate(groups):
            for row in rows:
                keyed[number, key(row)].append(row)
        groups = [rows for (_, value), rows in keyed.items() if len(rows) > 1 and value]
    return groups


def _digest(path, size=0):
    """Digest of a file, or of its middle if its size is given; None if it cannot be read."""
    try:
        if not size:
            return file_digest(path)
        with path.open("rb") as file:
            file.seek(max(0, (size - _PROBE) // 2))
            return hashlib.sha256(file.read(_PROBE)).hexdigest()
    except OSError:
        return None


def _size(path):
    """Bytes of a file; 0 if there is none."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _joined(count, alike):
    """Lists of rows, joined where `alike` says that they belong together; in the order of their first rows."""
    parent = list(range(count))

    def root(row):
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for rows in alike:
        for row in rows[1:]:
            first, second = sorted((root(rows[0]), root(row)))
            parent[second] = first
    groups = collections.defaultdict(list)
    for row in range(count):
        groups[root(row)].append(row)
    return list(groups.values())


# ------------------------------------------------------------------------------------------------------------ the sides


class _Sides:
    """Chooses the photos that are held out: `held`, a set of their numbers. share: of `count` images."""

    def __init__(self, photos, share, count):
        self._photos = photos
        self._with = collections.defaultdict(list)  # category id -> numbers of the photos that have such objects
        for number, photo in enumerate(photos):
            for c in photo.classes:
                self._with[c].append(number)
        self.held = {number for number, photo in enumerate(photos) if photo.draw < share}
        self._inside = collections.Counter(c for number in self.held for c in photos[number].classes)
        for number in sorted(self.held):
            if any(len(self._with[c]) == 1 for c in photos[number].classes):  # the only photo: it is trained on
                self._move(number)
        while self._fill_classes():
            pass
        self._fill_share(share * count)

    def _move(self, number):
        step = -1 if number in self.held else 1
        self.held ^= {number}
        for c in self._photos[number].classes:
            self._inside[c] += step

    def _harms(self, number):
        """Whether the side that a photo leaves would lose its last object of a class."""
        if number in self.held:
            return any(self._inside[c] == 1 for c in self._photos[number].classes)
        return any(len(self._with[c]) - self._inside[c] == 1 for c in self._photos[number].classes)

    def _next(self, numbers, into, most=math.inf):
        """Of the photos `numbers`, the one to move into (or out of) the held-out side: the nearest to the border that
        harms no class and has `most` images at most; None if there is none."""
        candidates = [n for n in numbers if (n in self.held) != into and len(self._photos[n].rows) <= most]
        candidates = [n for n in candidates if not self._harms(n)]
        return (min if into else max)(candidates, key=lambda n: self._photos[n].draw, default=None)

    def _fill_classes(self):
        """Moves photos to sides that have none of a class, the rarest classes first. Returns whether any was moved."""
        moved = False
        for c, numbers in sorted(self._with.items(), key=lambda item: (len(item[1]), str(item[0]))):
            if self._inside[c] in (0, len(numbers)):
                number = self._next(numbers, into=self._inside[c] == 0)
                if number is not None:
                    self._move(number)
                    moved = True
        return moved

    def _fill_share(self, wanted):
        """Moves photos until nearly `wanted` images are held out, as far as classes allow; no side stays empty."""
        everything = range(len(self._photos))
        most = sum(len(photo.rows) for photo in self._photos) - 1
        low = min(max(1, math.ceil((1 - TOLERANCE) * wanted)), most)
        high = min(max(low, math.floor((1 + TOLERANCE) * wanted)), most)
        count = sum(len(self._photos[number].rows) for number in self.held)
        while not low <= count <= high:
            into = count < low
            number = self._next(everything, into, high - count if into else count - low)
            if number is None:
                break
            count += len(self._photos[number].rows) * (1 if into else -1)
            self._move(number)
        if len(self.held) in (0, len(self._photos)):
            self._move(min(everything, key=lambda n: (len(self._photos[n].rows), self._photos[n].draw)))
