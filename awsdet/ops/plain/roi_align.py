"""RoIAlign over a feature pyramid, in TensorFlow's own operators, with bounded memory.

Bilinear samples and their mean are separable: a bin is Wy . F . Wx, where a row of Wy holds the mean of the hat
functions of that bin's sample rows. So each RoI reads its own window of the feature map once, and multiplies it by two
small matrices. RoIs with windows of similar size are pooled together, as many at once as fit `MOST_PIXELS`.
"""

from typing import NamedTuple

import tensorflow as tf

from awsdet.ops.reference.roi_align import assign_levels

MAX_SAMPLES = 256.0  # per bin and axis, as in the operator
MOST_ROIS = 32  # pooled at once
MOST_PIXELS = 2**16  # feature pixels read at once; 64 MB with 256 channels


def awsdet_roi_align(
    *, pyramid, boxes, image_index, strides, output_size, finest_scale, sampling_ratio, aligned, lists=True
):
    """See `awsdet.ops.roi_align.roi_align`. `lists`: whether a graph may hold TensorFlow's lists of tensors, without
    which what is pooled is copied again and again."""
    channels, dtype = pyramid[0].shape[3], pyramid[0].dtype
    pixels, first, heights, widths = _joined(pyramid)
    level = assign_levels(boxes, finest_scale, len(pyramid))
    boxes = boxes / tf.gather(tf.constant(strides, tf.float32), level)[:, tf.newaxis]
    height, width = tf.gather(heights, level), tf.gather(widths, level)
    start = tf.gather(first, level) + image_index * height * width
    rows = _axis(boxes[:, 1], boxes[:, 3], height, output_size, sampling_ratio, aligned)
    columns = _axis(boxes[:, 0], boxes[:, 2], width, output_size, sampling_ratio, aligned)
    # Similar windows are neighbours: powers of two of the height, then of the width.
    order = tf.argsort(_power(rows.window) * 64 + _power(columns.window), stable=True)
    rows, columns = (_Axis(*(tf.gather(values, order) for values in axis)) for axis in (rows, columns))
    start, width = tf.gather(start, order), tf.gather(width, order)
    total = tf.shape(order)[0]

    def pool(begin):
        end = begin + _fitting(*(axis.window[begin : begin + MOST_ROIS] for axis in (rows, columns)))
        row, row_weights = _weights(rows.part(begin, end), output_size)
        column, column_weights = _weights(columns.part(begin, end), output_size)
        line = start[begin:end, tf.newaxis] + row * width[begin:end, tf.newaxis]
        window = tf.cast(tf.gather(pixels, tf.expand_dims(line, 2) + tf.expand_dims(column, 1)), tf.float32)
        shape = tf.shape(window)
        lines = tf.matmul(row_weights, tf.reshape(window, [shape[0], shape[1], shape[2] * channels]))
        lines = tf.reshape(lines, [shape[0], output_size, shape[2], channels])
        bins = tf.matmul(tf.expand_dims(column_weights, 1), lines)
        return end, tf.cast(bins, dtype)

    parts = (_listed if lists else _appended)(pool, total, [output_size, output_size, channels], dtype)
    pooled = tf.gather(parts, tf.argsort(order))
    return tf.ensure_shape(pooled, [None, output_size, output_size, channels])


def _listed(pool, total, shape, dtype):
    """What `pool` gives from 0 until `total`, one after the other: [total, *shape]."""
    parts = tf.TensorArray(dtype, size=0, dynamic_size=True, infer_shape=False, element_shape=[None, *shape])
    # One empty part: there may be no RoI.
    parts = parts.write(0, tf.zeros([0, *shape], dtype))

    def step(begin, parts):
        end, part = pool(begin)
        return end, parts.write(parts.size(), part)

    _, parts = tf.while_loop(lambda begin, _: begin < total, step, (0, parts), parallel_iterations=1)
    return parts.concat()


def _appended(pool, total, shape, dtype):
    """As `_listed`."""

    def step(begin, parts):
        end, part = pool(begin)
        return end, tf.concat([parts, part], axis=0)

    invariants = (tf.TensorShape([]), tf.TensorShape([None, *shape]))
    start = (0, tf.zeros([0, *shape], dtype))
    _, parts = tf.while_loop(lambda begin, _: begin < total, step, start, shape_invariants=invariants)
    return parts


class _Axis(NamedTuple):
    """One axis of R RoIs, in feature pixels. Each is float32 or int32 [R]."""

    start: tf.Tensor  # where the first bin begins
    size: tf.Tensor  # of a bin
    samples: tf.Tensor  # per bin, a whole number
    extent: tf.Tensor  # of the feature map
    first: tf.Tensor  # the first pixel that is read
    window: tf.Tensor  # how many are read

    def part(self, begin, end):
        """The RoIs from `begin` to `end`."""
        return _Axis(*(values[begin:end] for values in self))


def _axis(low, high, extent, output_size, sampling_ratio, aligned):
    """The _Axis of RoIs from `low` to `high`, float32 [R]; `extent` int32 [R]."""
    start, length = (low - 0.5, high - low) if aligned else (low, tf.maximum(high - low, 1.0))
    size = length / output_size
    samples = tf.fill(tf.shape(size), float(sampling_ratio)) if sampling_ratio > 0 else tf.math.ceil(size)
    # What is not finite has no samples that count.
    finite = tf.math.is_finite(start + size)
    samples = tf.where(finite, tf.clip_by_value(samples, 0.0, MAX_SAMPLES), 0.0)
    start, size = tf.where(finite, start, 0.0), tf.where(finite, size, 0.0)
    limit = tf.cast(extent, tf.float32) - 1.0
    end = start + size * output_size
    first = tf.cast(tf.clip_by_value(tf.floor(tf.minimum(start, end)), 0.0, limit), tf.int32)
    last = tf.cast(tf.clip_by_value(tf.floor(tf.maximum(start, end)) + 1.0, 0.0, limit), tf.int32)
    return _Axis(start, size, samples, extent, first, tf.maximum(last - first + 1, 1))


def _weights(axis, output_size):
    """The pixels that each RoI of an _Axis reads, int32 [R, w], and their weights in each bin, float32 [R, P, w]; w is
    the largest window."""
    start, size, samples = (part[:, tf.newaxis, tf.newaxis] for part in (axis.start, axis.size, axis.samples))
    step = tf.range(tf.maximum(tf.reduce_max(samples), 1.0))
    offset = (step + 0.5) / tf.maximum(samples, 1.0)
    position = start + (tf.range(float(output_size))[:, tf.newaxis] + offset) * size  # [R, P, samples]
    limit = tf.cast(axis.extent, tf.float32)[:, tf.newaxis, tf.newaxis]
    counted = (position >= -1.0) & (position <= limit) & (step < samples)
    position = tf.clip_by_value(position, 0.0, limit - 1.0)
    pixel = axis.first[:, tf.newaxis] + tf.range(tf.reduce_max(axis.window))
    pixels = tf.reshape(pixel, [tf.shape(pixel)[0], 1, 1, -1])
    distance = tf.abs(tf.expand_dims(position, 3) - tf.cast(pixels, tf.float32))
    hat = tf.where(tf.expand_dims(counted, 3), tf.maximum(1.0 - distance, 0.0), 0.0)
    return tf.minimum(pixel, axis.extent[:, tf.newaxis] - 1), tf.reduce_sum(hat, axis=2) / tf.maximum(samples, 1.0)


def _joined(pyramid):
    """All pixels of all levels [pixels, C], the first pixel of each level, and the heights and widths of the levels."""
    shapes = [tf.shape(features) for features in pyramid]
    counts = tf.stack([shape[0] * shape[1] * shape[2] for shape in shapes])
    pixels = tf.concat([tf.reshape(features, [-1, pyramid[0].shape[3]]) for features in pyramid], axis=0)
    heights, widths = (tf.stack([shape[axis] for shape in shapes]) for axis in (1, 2))
    return pixels, tf.cumsum(counts, exclusive=True), heights, widths


def _power(window):
    """The power of two that holds each window, int32."""
    return tf.cast(tf.math.ceil(tf.math.log(tf.cast(window, tf.float32)) / tf.math.log(2.0)), tf.int32)


def _fitting(heights, widths):
    """How many of the next RoIs, at least one, have windows that together have at most MOST_PIXELS."""
    place = tf.range(tf.shape(heights)[0])
    until = place[:, tf.newaxis] >= place
    tallest, widest = (tf.reduce_max(tf.where(until, side, 0), axis=1) for side in (heights, widths))
    fits = (place + 1) * tallest * widest <= MOST_PIXELS
    return tf.maximum(tf.reduce_sum(tf.cast(fits, tf.int32)), 1)
