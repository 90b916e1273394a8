"""Boxes of annotations: x, y, width, height in pixels, as COCO has them or as other tools write them."""

from awsdet.data.coco.numerals import finite_numbers
from awsdet.data.coco.polygons import Bounds, limits

CLIP_TOLERANCE = 1.0  # px that a box may reach out of the image without being counted: tools round by as much
MIN_SIDE = 1.0  # px of the original image; smaller boxes are not trained on (mmdetection's rule)
CONTRADICTION = 0.3  # IoU with the mask's bounds under which a box contradicts its mask
_ALIKE = 0.8  # IoU above which two boxes may be the same


def read_box(value, note):
    """x, y, width, height from a list of four finite numbers; None from anything else."""
    box = finite_numbers(value, note)
    return tuple(box) if box is not None and len(box) == 4 else None


def read_nested_box(value, note):
    """The box in a list that holds nothing else, as in [[x, y, width, height]]; None if there is none."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    box = read_box(value, note)
    if box:
        note("box_nested")
    return box


def sides(box):
    """The Bounds of a box; not in order if its width or height is negative."""
    x, y, w, h = box
    return Bounds(x, y, x + w, y + h)


def kept_near(box, height, width, note):
    """The box, cut at `limits` if it reaches farther out."""
    left, top, right, bottom = sides(box)
    allowed = limits(height, width)
    if not (
        left < allowed.left
        or top < allowed.top
        or max(left, right) > allowed.right
        or max(top, bottom) > allowed.bottom
        or right < allowed.left
        or bottom < allowed.top
    ):
        return box
    note("box_far", " ".join(f"{number:g}" for number in box))
    left, right = (min(max(side, allowed.left), allowed.right) for side in (left, right))
    top, bottom = (min(max(side, allowed.top), allowed.bottom) for side in (top, bottom))
    return left, top, right - left, bottom - top


def from_bounds(bounds):
    """The box with these Bounds."""
    return bounds.left, bounds.top, bounds.right - bounds.left, bounds.bottom - bounds.top


def is_relative(numbers, height, width):
    """Whether numbers look like shares of the image instead of pixels."""
    return 0 <= min(numbers) and max(numbers) <= 1 and max(height, width) > 1


def contradicts(box, seen):
    """Whether a box and the part of its mask inside the image, Bounds, have little in common."""
    return _overlap(sides(box), seen) < CONTRADICTION


def looks_like_corners(box, seen, height, width):
    """Whether a box looks like x1, y1, x2, y2 instead of x, y, width, height.

    With a mask, of which the image shows the Bounds `seen`: the corners fit the mask and the box does not. Without one
    (None): the box reaches out of the image, and the corners lie in it.
    """
    x, y, x2, y2 = box
    if x2 <= x or y2 <= y:
        return False
    corners = Bounds(*box)
    if seen is None:
        read = sides(box)
        return read.reaches_out(height, width, CLIP_TOLERANCE) and not corners.reaches_out(
            height, width, CLIP_TOLERANCE
        )
    return _overlap(corners, seen) >= _ALIKE > _overlap(sides(box), seen)


def _overlap(one, other):
    """IoU of two Bounds."""
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    if across <= 0 or down <= 0:
        return 0.0
    areas = ((right - left) * (bottom - top) for left, top, right, bottom in (one, other))
    return across * down / (sum(areas) - across * down)
