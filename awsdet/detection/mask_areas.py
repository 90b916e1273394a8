"""How much of an object's mask lies in a window: exact areas of polygons, pixel counts of run lengths.

Symbols: B images, P windows, each of which belongs to one object; coordinates in pixels of the resized image.
"""

import tensorflow as tf

_TINY = 1e-7


def shares_inside(masks, image_size, windows, image_index, truth):
    """For each window the share, 0 to 1, of its object's mask that lies in it: float32 [P]; 0 without a mask.

    `masks`: the batch's dict of ragged polygons and rles; `image_size` int32 [B, 2]; `windows` float32 [P, 4];
    `image_index`, `truth` int32 [P]: the image of each window, and the object's index in that image.
    """
    row = tf.gather(tf.cast(masks["polygons"].row_starts(), tf.int32), image_index) + truth
    polygons, rles = tf.gather(masks["polygons"].values, row), tf.gather(masks["rles"].values, row)
    sizes = tf.gather(image_size, image_index)
    inside = polygon_areas(polygons, windows) + rle_areas(rles, sizes, windows)
    everywhere = tf.tile([[-1e6, -1e6, 1e6, 1e6]], [tf.shape(windows)[0], 1])
    whole = polygon_areas(polygons, everywhere) + rle_areas(rles, sizes, everywhere)
    return tf.cast(inside / (whole + _TINY), tf.float32)


def polygon_areas(polygons, windows):
    """Areas of polygons inside windows: float64 [P].

    `polygons` ragged float32 [P, (parts), (x y x y …)]; parts are assumed not to overlap; `windows` float32 [P, 4].

    By Green's theorem, the area is the integral of y dx along the boundary, with y clamped to the window.
    """
    parts = polygons.values
    points = tf.cast(tf.reshape(parts.values, [-1, 2]), tf.float64)
    part = parts.value_rowids()[::2]
    following = _next_point(parts.row_splits // 2, part)
    window = tf.gather(tf.cast(windows, tf.float64), tf.gather(polygons.value_rowids(), part))
    left, top, right, bottom = tf.unstack(window, axis=1)
    (x0, y0), (x1, y1) = tf.unstack(points, axis=1), tf.unstack(tf.gather(points, following), axis=1)
    slope = tf.math.divide_no_nan(y1 - y0, x1 - x0)
    start, end = tf.clip_by_value(x0, left, right), tf.clip_by_value(x1, left, right)
    height = _mean_clamped(y0 + slope * (start - x0) - top, y0 + slope * (end - x0) - top, bottom - top)
    signed = tf.math.unsorted_segment_sum((end - start) * height, part, parts.nrows())
    return tf.math.unsorted_segment_sum(tf.abs(signed), polygons.value_rowids(), polygons.nrows())


def _next_point(splits, part):
    """The index of the point after each point; the last of a part is followed by its first. `splits`: of the parts."""
    after = tf.range(1, tf.shape(part, tf.int64)[0] + 1)
    first, end = tf.gather(splits, part), tf.gather(splits, part + 1)
    return tf.where(after == end, first, after)


def _mean_clamped(start, end, limit):
    """The mean of clamp(v, 0, limit) for v evenly spread from `start` to `end`."""

    def integral(v):
        inside = tf.clip_by_value(v, 0.0, limit)
        return 0.5 * inside**2 + limit * tf.maximum(v - limit, 0.0)

    change = end - start
    flat = tf.abs(change) < 1e-6
    middle = tf.clip_by_value(0.5 * (start + end), 0.0, limit)
    return tf.where(flat, middle, (integral(end) - integral(start)) / tf.where(flat, tf.ones_like(change), change))


def rle_areas(rles, sizes, windows):
    """Pixels of masks inside windows: float64 [P]. Windows are cut to whole pixels, at least one, as mmdetection does.

    `rles` ragged int32 [P, (runs)], column-major, zeros first; `sizes` int32 [P, 2]: height and width;
    `windows` float32 [P, 4].
    """
    sizes = tf.cast(sizes, tf.int64)
    limit = tf.gather(sizes, [1, 0, 1, 0], axis=1)
    corners = tf.clip_by_value(tf.cast(windows, tf.int64), 0, limit)  # towards 0
    extent = tf.maximum(corners[:, 2:] - corners[:, :2], 1)
    row = rles.value_rowids()
    runs = tf.cast(rles.values, tf.int64)
    ends = tf.cumsum(runs)
    ends -= tf.gather(tf.concat([[0], ends], axis=0), tf.gather(rles.row_splits, row))
    is_mask = (tf.range(tf.shape(runs, tf.int64)[0]) - tf.gather(rles.row_splits, row)) % 2 == 1
    column, line = tf.unstack(tf.gather(corners[:, :2], row), axis=1)
    width, height = tf.unstack(tf.gather(extent, row), axis=1)

    def before(position):
        """Number of pixels of the window among the first `position` pixels of the image."""
        x, y = position // rows, position % rows
        whole = tf.clip_by_value(x - column, 0, width) * height
        partial = tf.clip_by_value(y - line, 0, height)
        return whole + tf.where((x >= column) & (x < column + width), partial, 0)

    rows = tf.gather(sizes[:, 0], row)
    pixels = tf.where(is_mask, before(ends) - before(ends - runs), 0)
    return tf.cast(tf.math.unsorted_segment_sum(pixels, row, rles.nrows()), tf.float64)
