"""Everything annotated on the images of a batch, moved to where it lies in their windows; plain TensorFlow.

Symbols: B images; h, w the original size, H, W that of the whole resized image (px); N rows of an image, objects first
and then crowds; G rows of each image in the result.
All coordinates are continuous: pixel column i covers [i, i+1), so a resize maps x to x * W / w, a flip maps x to W - x,
and the window's corner is subtracted.
"""

import numpy as np
import tensorflow as tf

from awsdet.ops.annotations import Annotations
from awsdet.ops.placement import Placement
from awsdet.ops.reference.bitmap import box_around, mask_of

MIN_SIDE = 1.0  # px; a box that is cut is dropped if one of its sides becomes shorter
_MOVED = 1e-6  # px; a side that moves by less was not cut, but rounded
_LEAST_AREA = 1e-3  # px²; a polygon of which less is left is empty


def place_annotations(stored, *, original_size, placement, rows, min_visible=0.0, boxes_from_masks=False):
    """The same as `awsdet.ops.annotations.place_annotations`."""
    original_size, rows = tf.convert_to_tensor(original_size), tf.convert_to_tensor(rows)
    placement = Placement(*map(tf.convert_to_tensor, placement))
    images = []
    for i, record in enumerate(stored):
        where = Placement(*(part[i] for part in placement))
        image = _place(record, original_size[i], where, min_visible, boxes_from_masks)
        missing = rows - tf.shape(image.boxes)[0]
        images.append(
            image._replace(
                boxes=tf.pad(image.boxes, [[0, missing], [0, 0]]),
                classes=tf.pad(image.classes, [[0, missing]], constant_values=-1),
                is_crowd=tf.pad(image.is_crowd, [[0, missing]]),
            )
        )
    boxes, classes, is_crowd = (tf.stack(column) for column in list(zip(*images))[:3])
    polygons, rles = (tf.ragged.stack([getattr(image, name) for image in images]) for name in ("polygons", "rles"))
    return Annotations(boxes, classes, is_crowd, polygons, rles)


def _place(stored, original_size, placement, min_visible, boxes_from_masks):
    """Annotations of one image, as many rows in all their tensors as are kept."""
    count = stored["trainable"]
    is_crowd = stored["is_crowd"][:count] > 0
    # Crowds come after the objects or have no masks, so what belongs to objects is at the front of every list.
    parts = tf.where(is_crowd, tf.constant(0, tf.int64), stored["polygon_parts"][:count])
    lengths = stored["polygon_lengths"][: tf.reduce_sum(parts)]
    numbers = tf.io.decode_raw(stored["polygon_numbers"], tf.float64)[: tf.reduce_sum(lengths)]
    polygons = tf.RaggedTensor.from_row_lengths(numbers, lengths, validate=False)
    polygons = tf.RaggedTensor.from_row_lengths(polygons, parts, validate=False)
    placed_polygons = transform_polygons(polygons, original_size, placement)
    runs = tf.where(is_crowd, tf.constant(0, tf.int64), stored["rle_runs"][:count])
    counts = stored["rle_counts"][: tf.reduce_sum(runs)]
    rles = _map_rows(
        lambda one: transform_runs(one, original_size, placement),
        tf.RaggedTensor.from_row_lengths(counts, runs, validate=False),
    )
    x, y, w, h = tf.unstack(tf.reshape(tf.io.decode_raw(stored["boxes"], tf.float64), [-1, 4])[:count], axis=1)
    share = tf.where(is_crowd, 0.0, tf.cast(min_visible, tf.float32))
    boxes, cut, enough = transform_boxes(tf.stack([x, y, x + w, y + h], axis=1), original_size, placement, share)
    had_mask = (parts > 0) | (runs > 0)
    has_mask = (placed_polygons.row_lengths() > 0) | (rles.row_lengths() > 1)
    if boxes_from_masks:
        tight, is_seen = _tight_boxes(placed_polygons, rles, placement.window)
        boxes = tf.where((cut & has_mask)[:, tf.newaxis], tight, boxes)
        has_mask &= is_seen
    kept = ~cut | (enough & (has_mask | ~had_mask))
    return Annotations(
        boxes=tf.boolean_mask(boxes, kept),
        classes=tf.boolean_mask(tf.cast(stored["classes"][:count], tf.int32), kept),
        is_crowd=tf.boolean_mask(is_crowd, kept),
        polygons=tf.ragged.boolean_mask(placed_polygons, kept),
        rles=tf.ragged.boolean_mask(rles, kept),
    )


def _tight_boxes(polygons, rles, window):
    """(float32 [N, 4], bool [N]): the box around each mask's pixels, and whether it has any. Eager only."""
    boxes, seen = np.zeros((polygons.nrows(), 4), np.float32), np.zeros(polygons.nrows(), bool)
    for row, (parts, runs) in enumerate(zip(polygons.to_list(), rles.to_list())):
        mask = mask_of(parts, runs, window.numpy())
        seen[row] = mask.any()
        if seen[row]:
            boxes[row] = box_around(mask)
    return boxes, seen


def _map_rows(function, rows):
    """Applies `function` (1-D int64 -> 1-D int32) to the rows of a ragged tensor that are not empty."""
    lengths = rows.row_lengths()
    filled = tf.where(lengths > 0)
    new = tf.map_fn(
        lambda index: function(rows[index]), filled[:, 0], fn_output_signature=tf.RaggedTensorSpec([None], tf.int32)
    )
    new_lengths = tf.tensor_scatter_nd_update(tf.zeros_like(lengths), filled, new.row_lengths())
    return tf.RaggedTensor.from_row_lengths(new.values, new_lengths, validate=False)


def _is_whole(placement):
    return tf.reduce_all(placement.window == placement.size)


def transform_boxes(boxes, original_size, placement, min_visible):
    """Moves boxes, cut at the image and at the window.

    boxes: float64 [N, 4] x1, y1, x2, y2 in px of the original; original_size: int32 [2]; placement: of one image;
    min_visible: float32 [N].

    Returns float32 [N, 4] in px of the window; bool [N], whether the window cuts the box; bool [N], whether 1 px of
    each side and the share `min_visible` of the area within the image are left.
    """
    old, new = tf.cast(original_size, tf.float64), tf.cast(placement.size, tf.float64)
    limits = tf.stack([old[1], old[0], old[1], old[0]])
    boxes = tf.clip_by_value(boxes, tf.zeros_like(limits), limits)
    boxes *= tf.stack([new[1], new[0], new[1], new[0]]) / limits
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    x1, x2 = tf.where(placement.flip, new[1] - x2, x1), tf.where(placement.flip, new[1] - x1, x2)
    sides = tf.stack([x1, y1, x2, y2], axis=1)
    (top, left), (height, width) = (tf.cast(pair, tf.float64) for pair in (placement.corner, placement.window))
    moved = sides - tf.stack([left, top, left, top])
    seen = tf.clip_by_value(moved, tf.zeros_like(limits), tf.stack([width, height, width, height]))
    seen = tf.where(_is_whole(placement), moved, seen)
    cut = tf.reduce_any(tf.abs(seen - moved) > _MOVED, axis=1)
    left_over = seen[:, 2:] - seen[:, :2]
    area = tf.reduce_prod(sides[:, 2:] - sides[:, :2], axis=1)
    enough = tf.reduce_all(left_over >= MIN_SIDE, axis=1)
    enough &= tf.reduce_prod(left_over, axis=1) >= tf.cast(min_visible, tf.float64) * area
    return tf.cast(seen, tf.float32), cut, enough


def transform_polygons(polygons, original_size, placement):
    """Ragged float64 [N, (parts), (x0 y0 x1 …)] in px of the original -> ragged float32, in px of the window.

    Parts that reach out of the window are cut at it (Sutherland and Hodgman 1974), and left out if nothing remains.
    """
    old, new = tf.cast(original_size, tf.float64), tf.cast(placement.size, tf.float64)
    points = tf.reshape(polygons.flat_values, [-1, 2]) * (new[::-1] / old[::-1])
    x = tf.where(placement.flip, new[1] - points[:, 0], points[:, 0])
    points = tf.stack([x, points[:, 1]], axis=1) - tf.cast(placement.corner[::-1], tf.float64)
    parts = tf.RaggedTensor.from_row_splits(points, polygons.values.row_splits // 2, validate=False)
    limits = tf.cast(placement.window[::-1], tf.float64)
    outside = tf.reduce_any((points < 0) | (points > limits), axis=1)
    count = parts.nrows()
    is_cut = tf.math.unsorted_segment_max(tf.cast(outside, tf.int32), parts.value_rowids(), count) > 0
    is_cut &= ~_is_whole(placement)
    pieces = tf.ragged.boolean_mask(parts, is_cut)
    for axis in (0, 1):
        pieces = _cut(pieces, axis, tf.constant(0.0, tf.float64), tf.greater_equal)
        pieces = _cut(pieces, axis, limits[axis], tf.less_equal)
    has_area = _areas(pieces) >= _LEAST_AREA
    uncut = tf.ragged.boolean_mask(parts, ~is_cut)
    together = tf.concat([uncut, tf.ragged.boolean_mask(pieces, has_area)], axis=0)
    places = tf.concat([tf.where(~is_cut)[:, 0], tf.boolean_mask(tf.where(is_cut)[:, 0], has_area)], axis=0)
    together, rows = tf.gather(together, tf.argsort(places)), tf.gather(polygons.value_rowids(), tf.sort(places))
    flat = tf.reshape(tf.cast(together.values, tf.float32), [-1])
    together = tf.RaggedTensor.from_row_splits(flat, together.row_splits * 2, validate=False)
    return tf.RaggedTensor.from_value_rowids(together, rows, nrows=polygons.nrows(), validate=False)


def _cut(polygons, axis, limit, is_on_side):
    """The part of polygons, ragged [parts, (points), 2], on one side of the line at `limit` across the `axis`."""
    points, part = polygons.values, polygons.value_rowids()
    index = tf.range(tf.shape(points, tf.int64)[0])
    is_first = index == tf.gather(polygons.row_starts(), part)
    before = tf.gather(points, tf.where(is_first, tf.gather(polygons.row_limits(), part) - 1, index - 1))
    inside, was_inside = is_on_side(points[:, axis], limit), is_on_side(before[:, axis], limit)
    share = (limit - before[:, axis]) / (points[:, axis] - before[:, axis])
    other = before[:, 1 - axis] + share * (points[:, 1 - axis] - before[:, 1 - axis])
    line = tf.fill(tf.shape(other), limit)
    crossing = tf.stack([line, other] if axis == 0 else [other, line], axis=1)
    candidates = tf.reshape(tf.stack([crossing, points], axis=1), [-1, 2])
    chosen = tf.reshape(tf.stack([inside != was_inside, inside], axis=1), [-1])
    rows = tf.boolean_mask(tf.repeat(part, 2), chosen)
    return tf.RaggedTensor.from_value_rowids(tf.boolean_mask(candidates, chosen), rows, polygons.nrows(), False)


def _areas(polygons):
    """Of ragged [parts, (points), 2]: float64 [parts]."""
    points, part = polygons.values, polygons.value_rowids()
    points -= tf.gather(points, tf.gather(polygons.row_starts(), part))
    index = tf.range(1, tf.shape(points, tf.int64)[0] + 1)
    after = tf.gather(points, tf.where(index == tf.gather(polygons.row_limits(), part), index - 1, index))
    twice = points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]
    return tf.abs(tf.math.unsorted_segment_sum(twice, part, polygons.nrows())) * 0.5


def transform_runs(counts, original_size, placement):
    """COCO run lengths int64 [runs] of an original-size mask -> int32 [runs] of the window (see `transform_mask`)."""
    cells = tf.cast(tf.reduce_prod(original_size), tf.int64)
    edges = tf.cumsum(counts)[:-1]
    # Each edge toggles; runs of no length put two edges on one cell, which cancel, and trailing ones lie past the end.
    toggles = tf.tensor_scatter_nd_add(tf.zeros([cells + 1], tf.uint8), edges[:, None], tf.ones_like(edges, tf.uint8))
    flat = tf.bitwise.bitwise_and(tf.cumsum(toggles)[:-1], 1)
    return transform_mask(tf.transpose(tf.reshape(flat, [original_size[1], original_size[0]])), placement)


def transform_mask(mask, placement):
    """uint8 [h, w], 0 or not -> COCO run lengths int32 [runs] (column-major, zeros first) of the window.

    Nearest neighbour with half-pixel centres: pixel i of n shows pixel floor((i + 0.5) * old / n).
    """
    old_size = tf.shape(mask)
    rows = _nearest(placement.size[0], old_size[0])
    columns = _nearest(placement.size[1], old_size[1])
    columns = tf.cond(placement.flip, lambda: columns[::-1], lambda: columns)
    (top, left), (height, width) = placement.corner, placement.window
    rows, columns = rows[top : top + height], columns[left : left + width]
    flat = tf.reshape(tf.transpose(tf.gather(tf.gather(mask, rows), columns, axis=1)), [-1]) > 0
    edges = tf.where(flat != tf.concat([[False], flat[:-1]], 0))[:, 0]
    ends = tf.concat([edges, [tf.size(flat, tf.int64)]], 0)
    return tf.cast(ends - tf.concat([[0], ends[:-1]], 0), tf.int32)


def _nearest(new, old):
    scale = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    places = tf.cast((tf.cast(tf.range(new), tf.float64) + 0.5) * scale, tf.int32)
    return tf.minimum(places, old - 1)
