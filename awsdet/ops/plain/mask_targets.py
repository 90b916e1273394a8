"""Mask targets: objects' polygons or RLE, cropped to RoIs and rasterised at M x M, in plain TensorFlow.

A target pixel is 1 where its centre, mapped into the RoI, lies inside the object. Parts of one object are united, as
pycocotools does; within a part the even-odd rule holds.
"""

import tensorflow as tf

from awsdet.ops.plain.roi_align import roi_align


def polygon_targets(polygons, rois, size):
    """Rasterises the polygons of each RoI's object.

    Args:
        polygons: RaggedTensor float32 [R, (parts), (x0 y0 x1 y1 ...)] in image pixels.
        rois: float32 [R, 4] x1, y1, x2, y2; size: M.

    Returns float32 [R, M, M] of 0 and 1. Objects without polygons give zeros.
    """
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
    end = (tf.gather(points, successor) - roi[:, :2]) * scale - 0.5
    inside = _even_odd(start, end, part, tf.shape(part_roi)[0], size)
    covered = tf.math.unsorted_segment_max(inside, part_roi, tf.shape(rois)[0])
    return tf.cast(tf.maximum(covered, 0), tf.float32)


def rle_targets(rles, image_size, rois, size):
    """Samples RLE masks as mmdetection crops its bitmaps: RoIAlign (adaptive sampling, aligned) and a threshold of 0.5.

    Args:
        rles: RaggedTensor int32 [R, (runs)], COCO column-major runs that begin with zeros.
        image_size: int32 [R, 2], height and width of each mask; rois: float32 [R, 4]; size: M.

    Returns float32 [R, M, M] of 0 and 1. Empty rows give zeros.
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

    present = tf.where(rles.row_lengths() > 0)[:, 0]
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
    # A part may be far outside the RoI: clip while still float, an int32 would overflow.
    column = tf.cast(tf.math.ceil(tf.clip_by_value(x, 0.0, float(size))), tf.int32)
    row = tf.broadcast_to(tf.range(size), tf.shape(column))
    part = tf.broadcast_to(tf.cast(part, tf.int32)[:, tf.newaxis], tf.shape(column))
    where = tf.boolean_mask(tf.stack([part, row, column], axis=-1), crosses)
    toggles = tf.scatter_nd(where, tf.ones([tf.shape(where)[0]], tf.int32), [num_parts, size, size + 1])
    return tf.cumsum(toggles, axis=2)[:, :, :size] % 2
