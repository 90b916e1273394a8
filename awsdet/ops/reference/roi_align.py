"""RoIAlign over a feature pyramid, in plain TensorFlow.

Bilinear samples and their average are separable: a bin is Wy . F . Wx, where a row of Wy holds the mean of the hat
functions of that bin's sample rows. So each RoI reads its own window of the feature map once and multiplies it by
two small matrices. Semantics: He et al., Mask R-CNN, as in Detectron2's ROIAlignV2 and mmcv (aligned=True,
sampling_ratio=0).
"""

import tensorflow as tf

# Keeps memory finite where a box is absurd: a bin would have to span this many feature pixels.
MAX_SAMPLES = 256.0


def assign_levels(boxes, finest_scale, num_levels):
    """Pyramid level of each box, int32 [R]: 0 for sqrt(area) < 2 * finest_scale, one more each time the size doubles.

    `boxes` float32 [R, 4] in image pixels. Feature Pyramid Networks, equation 1.
    """
    size = tf.sqrt(tf.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 0.0))
    level = tf.floor(tf.math.log(size / finest_scale + 1e-6) / tf.math.log(2.0))
    level = tf.where(tf.math.is_nan(level), 0.0, level)
    return tf.cast(tf.clip_by_value(level, 0.0, num_levels - 1.0), tf.int32)


def roi_align(pyramid, boxes, image_index, *, strides, output_size, finest_scale=56.0, sampling_ratio=0, aligned=True):
    """Pools each RoI from the level that suits its size.

    Args:
        pyramid: list of L feature maps [B, H_l, W_l, C], finest first, all of one floating dtype.
        boxes: float32 [R, 4] x1, y1, x2, y2 in image pixels.
        image_index: int32 [R], the image of each box.
        strides: L numbers, image pixels a feature pixel.
        output_size: P.
        finest_scale: boxes of this size (px) and up to twice it are pooled from the finest level.
        sampling_ratio: samples a bin and axis; 0: as many as the bin has feature pixels, rounded up.
        aligned: pixel centres lie at half-integer coordinates; False is the original Detectron rule.

    Returns [R, P, P, C] in the dtype of the pyramid. Samples outside the map by more than one pixel count as 0.
    """
    levels = assign_levels(boxes, finest_scale, len(pyramid))
    parts, order = [], []
    for level, (features, stride) in enumerate(zip(pyramid, strides)):
        rows = tf.where(levels == level)[:, 0]
        selected = tf.gather(boxes, rows)
        parts.append(
            _pool(features, selected / stride, tf.gather(image_index, rows), output_size, sampling_ratio, aligned)
        )
        order.append(rows)
    pooled, order = tf.concat(parts, axis=0), tf.concat(order, axis=0)
    return tf.gather(pooled, tf.argsort(order))


def _pool(features, boxes, image_index, output_size, sampling_ratio, aligned):
    """RoIAlign on one map [B, H, W, C]; `boxes` [R, 4] in feature pixels."""
    height, width, channels = tf.shape(features)[1], tf.shape(features)[2], features.shape[3]
    first_row, rows = _axis_weights(boxes[:, 1], boxes[:, 3], height, output_size, sampling_ratio, aligned)
    first_column, columns = _axis_weights(boxes[:, 0], boxes[:, 2], width, output_size, sampling_ratio, aligned)
    row = tf.minimum(first_row[:, tf.newaxis] + tf.range(tf.shape(rows)[2]), height - 1)
    column = tf.minimum(first_column[:, tf.newaxis] + tf.range(tf.shape(columns)[2]), width - 1)
    flat = (image_index[:, tf.newaxis] * height + row)[:, :, tf.newaxis] * width + column[:, tf.newaxis]
    window = tf.cast(tf.gather(tf.reshape(features, [-1, channels]), flat), tf.float32)
    pooled = tf.einsum("rph,rhwc->rpwc", rows, window)
    pooled = tf.einsum("rqw,rpwc->rpqc", columns, pooled)
    pooled = tf.ensure_shape(pooled, [None, output_size, output_size, channels])
    return tf.cast(pooled, features.dtype)


def _axis_weights(low, high, extent, output_size, sampling_ratio, aligned):
    """One axis: the first feature pixel each RoI reads, int32 [R], and weights float32 [R, P, window] of the
    pixels from there."""
    length = high - low
    if aligned:
        start = low - 0.5
    else:
        start, length = low, tf.maximum(length, 1.0)
    size = length / output_size
    samples = tf.fill(tf.shape(size), float(sampling_ratio)) if sampling_ratio > 0 else tf.math.ceil(size)
    samples = tf.clip_by_value(samples, 0.0, MAX_SAMPLES)
    most = tf.maximum(tf.cast(tf.reduce_max(tf.concat([samples, [1.0]], 0)), tf.int32), 1)
    step = tf.range(tf.cast(most, tf.float32))
    offset = (step + 0.5) / tf.maximum(samples, 1.0)[:, tf.newaxis]
    bins = tf.range(float(output_size))
    position = (
        start[:, tf.newaxis, tf.newaxis]
        + (bins[:, tf.newaxis] + offset[:, tf.newaxis, :]) * size[:, tf.newaxis, tf.newaxis]
    )
    limit = tf.cast(extent, tf.float32)
    counted = (position >= -1.0) & (position <= limit) & (step < samples[:, tf.newaxis])[:, tf.newaxis]
    position = tf.clip_by_value(position, 0.0, limit - 1.0)
    # The window runs from the first to one beyond the last sample of the RoI that asks for most.
    first = tf.cast(tf.reduce_min(tf.where(counted, position, limit - 1.0), axis=[1, 2]), tf.int32)
    last = tf.cast(tf.reduce_max(tf.where(counted, position, 0.0), axis=[1, 2]), tf.int32) + 1
    window = tf.maximum(tf.reduce_max(tf.concat([last - first + 1, [1]], 0)), 1)
    pixel = tf.cast(first[:, tf.newaxis] + tf.range(window), tf.float32)
    hat = tf.maximum(1.0 - tf.abs(position[..., tf.newaxis] - pixel[:, tf.newaxis, tf.newaxis, :]), 0.0)
    hat = tf.where(counted[..., tf.newaxis], hat, 0.0)
    return first, tf.reduce_sum(hat, axis=2) / tf.maximum(samples, 1.0)[:, tf.newaxis, tf.newaxis]
