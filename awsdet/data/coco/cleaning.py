"""Cleans the annotations of an image: what a record keeps of each.

What is good is kept: a box without its mask if the mask cannot be used, and a mask with a box made from it if the box
cannot. Nothing is changed without being counted (`awsdet.data.coco.anomalies` has the kinds; docs/data.md the rules).
Coordinates are pixels of the image as it is stored; 0 is its left and its top edge.
"""

from typing import NamedTuple

from awsdet.data.coco.anomalies import shown_value
from awsdet.data.coco.boxes import (
    CLIP_TOLERANCE,
    MIN_SIDE,
    contradicts,
    from_bounds,
    is_relative,
    kept_near,
    looks_like_corners,
    read_box,
    read_nested_box,
    sides,
)
from awsdet.data.coco.masks import NO_MASK, plain_mask, read_mask
from awsdet.data.coco.numerals import NUMBERS, finite_number
from awsdet.data.coco.polygons import LARGEST_AREA

AREA_RATIO = 2.0  # an area contradicts its mask if one is more than this times the other
_AREA_SLACK = 16.0  # px² by which the two may always differ: small masks are mostly edge
_KEPT = frozenset(("mask_absent", "mask_empty"))  # kinds that say that the object is kept without a mask
_FLAGS = frozenset(("ignore", "difficult"))  # that other formats have, and COCO does not


class Annotation(NamedTuple):
    """A cleaned annotation. Its numbers are the file's own, as float64, so that COCOeval gives the same results.

    bbox: x, y, width, height. polygons: list of flat coordinate lists; counts: COCO run lengths (column-major, zeros
    first) or None. An object without a mask has no polygons, and its counts are None. trainable: False for boxes
    that are kept for evaluation only. order: the place among the image's annotations in the file.
    """

    id: int
    class_index: int
    bbox: tuple
    area: float
    is_crowd: bool
    polygons: list
    counts: list
    trainable: bool
    order: int


def clean_annotations(raw, height, width, classes, anomalies):
    """Cleans the annotations of one image of `height` x `width` px.

    raw: dicts of a CocoFile; classes: category id -> class. Returns Annotations in the order of the records: objects,
    then crowds, then annotations for evaluation only.
    """
    cleaned, seen, note, ordered = [], set(), _Notes(anomalies), True
    for order, annotation in enumerate(raw):
        note.annotation = annotation
        segmentation, value = annotation.get("segmentation"), annotation.get("bbox")
        mask = plain_mask(segmentation, height, width) or read_mask(segmentation, height, width, note)
        if _is_plain_box(value, mask.bounds, height, width):
            box, trainable = tuple(value), True
        else:
            box = _box(value, mask, height, width, note)
            if box is None:
                note.waiting.clear()
                note("annotation_malformed", f"box {shown_value(value)}")
                continue
            if mask.polygons and _is_stray(mask, box, height, width):
                note("polygon_relative")
                mask = NO_MASK
            trainable = _is_trainable(box, height, width, note)
        if note.waiting:
            note.settle()
        class_index = classes[annotation["category_id"]]
        count = len(seen)
        seen.add((class_index, box))
        if len(seen) == count:
            note("annotation_duplicate")
        area = _area(annotation.get("area"), box, mask, height, width, note)
        is_crowd = _is_crowd(annotation, note)
        ordered = ordered and trainable and not is_crowd
        cleaned.append(
            Annotation(annotation["id"], class_index, box, area, is_crowd, mask.polygons, mask.counts, trainable, order)
        )
    if ordered:
        return cleaned
    return sorted(cleaned, key=lambda a: (not a.trainable, a.is_crowd))


class _Notes:
    """Counts the kinds of what is unusual about `annotation`.

    waiting: kinds that say that it is kept, and are counted by `settle` when that is known.
    """

    def __init__(self, anomalies):
        self._anomalies, self.annotation, self.waiting = anomalies, None, []

    def __call__(self, kind, detail=""):
        if kind in _KEPT:
            self.waiting.append(kind)
        else:
            self._count(kind, detail)

    def settle(self):
        """Counts what waited."""
        for kind in self.waiting:
            self._count(kind, "")
        self.waiting.clear()

    def _count(self, kind, detail):
        name = f"annotation {self.annotation['id']} (image {self.annotation['image_id']})"
        self._anomalies.add(kind, f"{name}: {detail}" if detail else name)


def _is_plain_box(value, bounds, height, width):
    """Whether a box is so ordinary that the rules below would change and count nothing; this saves time.

    It lies in its image, and is that of its mask, whose Bounds are given, if there is one.
    """
    if type(value) is not list or len(value) != 4:
        return False
    if not NUMBERS.issuperset(map(type, value)):
        return False
    x, y, w, h = value
    tolerance = CLIP_TOLERANCE
    inside = (
        -tolerance <= x <= width  # before any sum, since an integer may be too large for one
        and -tolerance <= y <= height
        and 3 * tolerance <= w <= width + 2 * tolerance
        and 3 * tolerance <= h <= height + 2 * tolerance
        and x + w <= width + tolerance
        and y + h <= height + tolerance
    )
    if bounds is None or not inside:
        return inside
    left, top, right, bottom = bounds
    return (
        -tolerance <= x - left <= tolerance
        and -tolerance <= y - top <= tolerance
        and -tolerance <= x + w - right <= tolerance
        and -tolerance <= y + h - bottom <= tolerance
    )


def _box(value, mask, height, width, note):
    """The box of an annotation, made from the mask if its own shows nothing; None if neither can be used."""
    shown = mask.bounds.inside(height, width) if mask.bounds else None
    box = read_box(value, note)
    if box is None and shown is None:
        box = read_nested_box(value, note)
    if box is not None:
        box = kept_near(box, height, width, note)
        if is_relative(box, height, width) and box[2] > 0 and box[3] > 0:  # zeros are no shares
            note("box_relative")
        if shown is None or not _is_unusable(box, shown, height, width):
            _compare(box, mask, shown, height, width, note)
            return box
    if shown is None:
        return None
    note("box_from_mask", str(value)[:40])
    return from_bounds(shown)


def _is_unusable(box, shown, height, width):
    """Whether a box is worth less than the part of its mask inside the image, the Bounds `shown`."""
    if sides(box).inside(height, width) is None:
        return True
    large = min(shown.right - shown.left, shown.bottom - shown.top) >= MIN_SIDE
    return large and is_relative(box, height, width) and contradicts(box, shown)


def _compare(box, mask, shown, height, width, note):
    """Counts a box that does not fit its mask or looks like something else."""
    read = sides(box)
    if shown is not None and max(abs(a - b) for a, b in zip(read, mask.bounds)) <= CLIP_TOLERANCE:
        return
    if looks_like_corners(box, shown, height, width):
        note("box_of_corners")
    elif shown is not None and not is_relative(mask.bounds, height, width):
        inside = read.inside(height, width)
        if inside is not None and contradicts(from_bounds(inside), shown):
            note("box_contradicts_mask")


def _is_stray(mask, box, height, width):
    """Whether polygons look like shares of the image, and lie elsewhere than their box."""
    shown = mask.bounds.inside(height, width)
    return is_relative(mask.bounds, height, width) and contradicts(box, shown)


def _is_trainable(box, height, width, note):
    x, y, w, h = box
    inside_w = min(x + w, width) - max(x, 0.0)
    inside_h = min(y + h, height) - max(y, 0.0)
    if inside_w < MIN_SIDE or inside_h < MIN_SIDE:
        note("box_degenerate")
        return False
    if max(-x, -y, x + w - width, y + h - height) > CLIP_TOLERANCE:
        note("box_clipped")
    return True


def _is_crowd(annotation, note):
    value = annotation.get("iscrowd", 0)
    if not _FLAGS.isdisjoint(annotation):
        for flag in sorted(_FLAGS.intersection(annotation)):
            if annotation[flag] in (1, "1", "true", "True"):
                note("annotation_flag", flag)
    if value in (0, None, "0", "false", "False"):
        return False
    if value in (1, "1", "true", "True"):
        return True
    number = finite_number(value, lambda *_: None)
    note("crowd_unknown", str(value)[:20])
    return number is not None and number != 0


def _area(value, box, mask, height, width, note):
    """The area of an annotation in px²: its own, or that of its mask or box if its own cannot be used."""
    area = value if type(value) is float else finite_number(value, note)
    if area is not None and 0 <= area <= LARGEST_AREA * height * width:
        if mask.bounds is not None and _differ(area, mask.area):
            if not mask.bounds.reaches_out(height, width, CLIP_TOLERANCE):  # else it may be that of the part inside
                note("area_contradicts_mask", f"{area:g}, mask {mask.area:g}")
        return area
    if value is None:
        note("area_absent")
    else:
        note("area_negative" if area is not None and area < 0 else "area_unusable", str(value)[:20])
    return mask.area if mask.bounds else max(box[2], 0.0) * max(box[3], 0.0)


def _differ(area, other):
    return area > AREA_RATIO * other + _AREA_SLACK or other > AREA_RATIO * area + _AREA_SLACK
