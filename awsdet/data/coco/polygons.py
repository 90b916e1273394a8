"""The geometry of polygons: flat lists of x0, y0, x1, y1, … in pixels."""

from operator import mul
from typing import NamedTuple

FARTHEST = 1.0  # image sizes: how far beyond its image a coordinate may lie; what lies farther is cut off
LARGEST_AREA = (1 + 2 * FARTHEST) ** 2  # of `limits`, as a multiple of the image's
_LARGEST = 1e300  # of the numbers that are computed with; twice as much is still finite
_FLAT = 1e-9  # area of a polygon, as a share of its bounds, under which its points may lie on one line


class Bounds(NamedTuple):
    """A rectangle; its sides are in order."""

    left: float
    top: float
    right: float
    bottom: float

    def inside(self, height, width):
        """The part inside an image; None if it has no area."""
        left, top, right, bottom = self
        left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
        return Bounds(left, top, right, bottom) if left < right and top < bottom else None

    def reaches_out(self, height, width, tolerance):
        """Whether it reaches out of an image by more than `tolerance`."""
        left, top, right, bottom = self
        return left < -tolerance or top < -tolerance or right > width + tolerance or bottom > height + tolerance


def limits(height, width):
    """The Bounds that all coordinates are kept in: those of the image, and FARTHEST image sizes more on each side."""
    across, down = FARTHEST * width, FARTHEST * height
    return Bounds(-across, -down, width + across, height + down)


def measure(polygon):
    """(Bounds, area) of a polygon of one point or more. If it crosses itself, lobes count against each other."""
    xs, ys = polygon[0::2], polygon[1::2]
    twice = sum(map(mul, xs, ys[1:])) - sum(map(mul, ys, xs[1:])) + xs[-1] * ys[0] - xs[0] * ys[-1]
    return Bounds(min(xs), min(ys), max(xs), max(ys)), 0.5 * abs(twice)


def is_flat(polygon):
    """Whether all points lie on one line. The area alone cannot tell, because of bow ties."""
    bounds, area = measure(polygon)
    extent = (bounds.right - bounds.left) * (bounds.bottom - bounds.top)
    if area > _FLAT * extent:
        return False
    x0, y0 = polygon[:2]
    points = list(zip(polygon[2::2], polygon[3::2]))
    x1, y1 = max(points, key=lambda point: abs(point[0] - x0) + abs(point[1] - y0))
    return all(abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) <= _FLAT * extent for x, y in points)


def kept_near(polygon, height, width):
    """The polygon of finite numbers, cut at `limits` if it reaches farther out; None if nothing is left within."""
    bounds, allowed = measure(polygon)[0], limits(height, width)
    if (
        allowed.left <= bounds.left
        and allowed.top <= bounds.top
        and bounds.right <= allowed.right
        and bounds.bottom <= allowed.bottom
    ):
        return polygon
    polygon = cut(polygon, allowed)
    return polygon if len(polygon) >= 6 else None


def cut(polygon, bounds):
    """The part of a polygon inside `bounds` (Sutherland and Hodgman 1974), a flat list; empty if there is none.

    Several pieces stay joined by lines along the bounds. Coordinates may be of any size.
    """
    polygon = [min(max(number, -_LARGEST), _LARGEST) for number in polygon]
    points = list(zip(polygon[0::2], polygon[1::2]))
    for axis, sign, limit in (
        (0, -1.0, bounds.left),
        (0, 1.0, bounds.right),
        (1, -1.0, bounds.top),
        (1, 1.0, bounds.bottom),
    ):
        points = _cut_at(points, axis, sign, limit)
    return [number for point in points for number in point]


def _cut_at(points, axis, sign, limit):
    """The part on one side of a line across the axis: below the limit if `sign` is 1, above it if it is -1."""
    left = []
    for place, end in enumerate(points):
        start = points[place - 1]
        inside = sign * end[axis] <= sign * limit
        if (sign * start[axis] <= sign * limit) != inside:
            share = (limit - start[axis]) / (end[axis] - start[axis])
            ends = start[1 - axis], end[1 - axis]
            # Between the two, in spite of rounding.
            other = min(max(ends[0] * (1.0 - share) + ends[1] * share, min(ends)), max(ends))
            left.append((limit, other) if axis == 0 else (other, limit))
        if inside:
            left.append(end)
    return left
