"""Mask targets: objects' polygons or RLE, cropped to RoIs and rasterised at M x M, in plain TensorFlow.

A target pixel is 1 where its centre, mapped into the RoI, lies inside the object. Parts of one object are united, as
pycocotools does; within a part the even-odd rule holds.
"""

import tensorflow as tf

from awsdet.ops.reference.roi_align import roi_align


def polygon_targets(polygons, object_index, rois, size):
    """Rasterises the polygons of each RoI's object.

    Args:
        polygons: RaggedTensor float32 [N, (parts), (x0 y0 x1 y1 ...)] of N objects, in image pixels.
        object_index: int32 [R], the object of each RoI.
        rois: float32 [R, 4] x1, y1, x2, y2; size: M.

    Returns float32 [R, M, M] of 0 and 1. Objects without polygons give zeros; a part is nothing where it has fewer
    than three points, or one that is not finite in the RoI's coordinates.
    """
    polygons = tf.gather(polygons, object_index)
    part_roi = polygons.value_rowids()
    parts = polygons.values
    points = tf.reshape(parts.flat_values, [-1, 2])
    part = tf.gather(parts.value_rowids(), tf.range(tf.shape(points)[0]) * 2)
    starts, ends = parts.row_starts() // 2, parts.row_limits() // 2
    successor = tf.range(tf.shape(points, tf.int64)[0]) + 1
    successor = tf.where(successor < tf.gather(ends, part), successor, tf.gather(starts, part))
    roi = tf.gather(rois, tf.gather(part_roi, part))
    # In units of target pixels, with pixel centres at whole numbers.
    scale = size / tf.maximum(roi[:, 2:] - roi[:, :2], 1e-6)
    start = (points - roi[:, :2]) * scale - 0.5
    end = tf.gather(start, successor)
    num_parts = tf.shape(part_roi)[0]
    finite = tf.reduce_all(tf.math.is_finite(start), axis=1)
    sound = tf.math.unsorted_segment_min(tf.cast(finite, tf.int32), part, num_parts) > 0
    sound &= ends - starts >= 3
    inside = _even_odd(start, end, part, num_parts, size) * tf.cast(sound, tf.int32)[:, tf.newaxis, tf.newaxis]
    covered = tf.math.unsorted_segment_max(inside, part_roi, tf.shape(rois)[0])
    return tf.cast(tf.maximum(covered, 0), tf.float32)


def rle_targets(rles, object_index, image_size, rois, size):
    """Samples RLE masks as mmdetection crops its bitmaps: RoIAlign (adaptive sampling, aligned) and a threshold of 0.5.

    Args:
        rles: RaggedTensor int32 [N, (runs)] of N objects, COCO column-major runs that begin with zeros.
        object_index: int32 [R], the object of each RoI.
        image_size: int32 [N, 2], height and width of each object's mask.
        rois: float32 [R, 4] x1, y1, x2, y2; size: M.

    Returns float32 [R, M, M] of 0 and 1. Objects without runs, and RoIs that have no area or are not finite, give
    zeros.
    """

    def one(inputs):
        runs, shape, roi = inputs
        ends = tf.cumsum(runs)
        toggles = tf.math.bincount(ends, minlength=shape[0] * shape[1] + 1, maxlength=shape[0] * shape[1] + 1)
        bits = tf.cumsum(toggles)[: shape[0] * shape[1]] % 2
        bitmap = tf.transpose(tf.reshape(bits, [shape[1], shape[0]]))
        features = tf.cast(bitmap, tf.float32)[tf.newaxis, :, :, tf.newaxis]
        crop = roi_align([features], roi[tf.newaxis], tf.zeros([1], tf.int32), strides=[1], output_size=size)
        return tf.cast(crop[0, :, :, 0] >= 0.5, tf.float32)

    rles, image_size = tf.gather(rles, object_index), tf.gather(image_size, object_index)
    rois = tf.convert_to_tensor(rois)
    extent = rois[:, 2:] - rois[:, :2]
    sound = tf.reduce_all(tf.math.is_finite(rois[:, :2]) & tf.math.is_finite(extent) & (extent > 0), axis=1)
    present = tf.where(sound & (rles.row_lengths() > 0) & tf.reduce_all(image_size > 0, axis=1))[:, 0]
    spec = tf.TensorSpec([size, size], tf.float32)
    inputs = (tf.gather(rles, present), tf.gather(image_size, present), tf.gather(rois, present))
    targets = tf.map_fn(one, inputs, fn_output_signature=spec)
    return tf.scatter_nd(present[:, tf.newaxis], targets, tf.concat([tf.shape(rois, tf.int64)[:1], [size, size]], 0))


def _even_odd(start, end, part, num_parts, size):
    """Which of size x size pixels lie inside each part: int32 [num_parts, size, size].

    `start`, `end` float32 [E, 2] are the edges, `part` [E] the part of each. Every row that an edge crosses toggles
    the pixels to the right of the crossing, so a running sum along the row, modulo 2, fills the polygon.
    """
    rows = tf.range(float(size))
    y0, y1 = start[:, 1:], end[:, 1:]
    crosses = (y0 <= rows) != (y1 <= rows)
    slope = (end[:, :1] - start[:, :1]) / tf.where(y1 == y0, 1.0, y1 - y0)
    x = start[:, :1] + (rows - y0) * slope
    # A part may be far outside the RoI: clip while still float, an int32 would overflow. A slope that overflows may
    # leave NaN, which counts as the left edge.
    column = tf.cast(tf.math.ceil(tf.where(x > 0.0, tf.minimum(x, float(size)), 0.0)), tf.int32)
    row = tf.broadcast_to(tf.range(size), tf.shape(column))
    part = tf.broadcast_to(tf.cast(part, tf.int32)[:, tf.newaxis], tf.shape(column))
    where = tf.boolean_mask(tf.stack([part, row, column], axis=-1), crosses)
    toggles = tf.scatter_nd(where, tf.ones([tf.shape(where)[0]], tf.int32), [num_parts, size, size + 1])
    return tf.cumsum(toggles, axis=2)[:, :, :size] % 2
